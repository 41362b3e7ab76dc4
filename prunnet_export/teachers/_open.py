"""Opening the teacher that a user names."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import msgspec

from prunnet_export._errors import InvalidInput
from prunnet_export.network_config import CONFIG_FILE
from prunnet_export.preprocessing import size_text
from prunnet_export.teachers._settings import TeacherSettings, is_onnx
from prunnet_export.teachers._teacher import Teacher
from prunnet_export.vectors import KINDS

_log = logging.getLogger(__name__)

TIMM = "timm:"
_TEACHERS = f"a model is an .onnx file, a folder that prunnet-train wrote, or {TIMM}NAME; vectors are in {KINDS}"


def open_teacher(spec: str, *, settings: TeacherSettings, threads: int | None = None) -> Teacher:
    """Load a model that is a teacher.

    Args:
        spec: An ``.onnx`` file, a folder that ``prunnet-train`` wrote, or ``timm:ARCHITECTURE``.
        settings: How it takes images; see :func:`teacher_settings`.
        threads: Threads that the engine uses; None leaves them to it. For torch they hold for the whole process.

    Raises:
        InvalidInput: there is no such model, it cannot be loaded, it gives no vectors, or settings do not fit to it.
        UnknownName: timm has no such architecture.
        MissingExtra: onnxruntime, torch or timm is not installed.
    """
    if threads is not None and threads < 1:
        raise InvalidInput(f"{threads} threads for the teacher", hint="give 1 or more")
    if settings.weights is not None:
        settings = msgspec.structs.replace(settings, weights=str(Path(settings.weights).absolute()))
    place = spec if spec.startswith(TIMM) else str(Path(spec).absolute())
    teacher = _load(spec, place, settings, threads)
    teacher.opener = partial(open_teacher, place, settings=settings, threads=1)
    steps, how = teacher.preprocessing, "bicubic" if teacher.bicubic else "bilinear"
    _log.info(
        "teacher %s: %d dimensions, %s px %s (%s), crop %s, mean %s, std %s",
        *(teacher.name, teacher.dim, size_text(steps.resize), how, steps.fit),
        *(size_text(steps.crop), steps.mean, steps.std),
    )
    return teacher


def _load(spec: str, place: str, settings: TeacherSettings, threads: int | None) -> Teacher:
    # Each kind is imported when it is used, because torch and onnxruntime take seconds to import.
    if spec.startswith(TIMM):
        from prunnet_export.teachers._torch import TimmTeacher

        return TimmTeacher(spec.removeprefix(TIMM), settings, threads=threads)
    if settings.weights is not None:
        raise InvalidInput(f"{spec} has its own weights", hint=f"weights are for {TIMM}ARCHITECTURE only")
    if Path(place).is_dir():
        if not (Path(place) / CONFIG_FILE).exists():
            raise InvalidInput(f"teacher {spec} holds no network and no vectors", hint=_TEACHERS)
        from prunnet_export.teachers._torch import NetworkTeacher

        return NetworkTeacher(Path(place), settings, threads=threads)
    if not Path(place).is_file():
        raise InvalidInput(f"teacher {spec}: no such file or folder", hint=_TEACHERS)
    if not is_onnx(spec):
        raise InvalidInput(f"teacher {spec} holds no model and no vectors", hint=_TEACHERS)
    from prunnet_export.teachers._onnx import OnnxTeacher

    return OnnxTeacher(Path(place), settings, threads=threads)
