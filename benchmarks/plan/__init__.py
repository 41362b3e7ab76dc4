"""``prunnet-bench plan``: what a training that answers a teacher's gallery would reach, before it is started.

The images and their vectors are chosen in ``_sample``. ``_adapter`` fits linear maps, ``_trial`` trains twice for
a few minutes, ``_prediction`` prolongs what the longer trial gained. Measured runs say how sure that is.
"""
