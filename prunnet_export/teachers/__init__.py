"""Teachers: the models that made galleries, and their vectors of images."""

from prunnet_export.teachers._fill import teacher_vectors
from prunnet_export.teachers._open import TIMM, open_teacher
from prunnet_export.teachers._row_file import RowFile
from prunnet_export.teachers._sample import LEAST_HELD_OUT, TeacherSample, load_sample, save_sample
from prunnet_export.teachers._settings import TeacherSettings, make_settings, read_teacher_settings, teacher_settings
from prunnet_export.teachers._teacher import Floats, Teacher, identity_of
from prunnet_export.teachers._vector_cache import VectorCache

__all__ = [
    "LEAST_HELD_OUT",
    "TIMM",
    "Floats",
    "RowFile",
    "Teacher",
    "TeacherSample",
    "TeacherSettings",
    "VectorCache",
    "identity_of",
    "load_sample",
    "make_settings",
    "open_teacher",
    "read_teacher_settings",
    "save_sample",
    "teacher_settings",
    "teacher_vectors",
]
