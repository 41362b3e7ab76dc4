"""Teachers: the models that made galleries, and their vectors of images."""

from prunnet_export.teachers._sample import TeacherSample, load_sample, save_sample

__all__ = ["TeacherSample", "load_sample", "save_sample"]
