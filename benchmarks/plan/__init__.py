"""``prunnet-bench plan``: what a training that answers a teacher's gallery would reach, before it is started.

The images and their vectors are chosen in ``_sample``. ``_adapter`` fits linear maps, ``_trial`` trains for a few
minutes, ``_prediction`` predicts the whole training from runs that were measured before.
"""
