"""A teacher in an ONNX file, computed by onnxruntime on the processor."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from prunnet_export._cores import threads_under_quota
from prunnet_export._errors import InvalidInput, Unreachable, is_out_of_memory
from prunnet_export._imports import require
from prunnet_export._stored_paths import check_utf8
from prunnet_export._text import one_line, shown
from prunnet_export.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Size, sides, size_text
from prunnet_export.teachers._onnx_file import file_hashes
from prunnet_export.teachers._onnx_ports import choose_input, choose_output, to_vectors
from prunnet_export.teachers._settings import TeacherSettings
from prunnet_export.teachers._teacher import Floats, Teacher, identity_of

_log = logging.getLogger(__name__)

_FATAL_ONLY = 4


class OnnxTeacher(Teacher):
    """A model in an ONNX file.

    Args:
        file: The file.
        settings: Its preprocessing, its input and its output.
        threads: Threads of onnxruntime; None leaves them to it, within the CPU quota.

    Raises:
        InvalidInput: the file cannot be loaded, takes no images or gives no vectors, or a setting does not fit to it.
    """

    kind: ClassVar[Literal["onnx"]] = "onnx"

    def __init__(self, file: Path, settings: TeacherSettings, *, threads: int | None = None) -> None:
        self.name = shown(file.name)
        self._settings = settings
        hashes = file_hashes(file)
        self._session = _load(file, threads)
        self._input = choose_input(self.name, self._session.get_inputs(), settings)
        self._output = choose_output(self.name, self._session.get_outputs(), settings)
        self.preprocessing = _preprocessing(self.name, settings, self._input.size)
        self.bicubic = settings.interpolation == "bicubic"
        self.identity = identity_of(
            kind=self.kind,
            files=[digest for _, digest in sorted(hashes.items())],
            preprocessing=self.preprocessing,
            bicubic=self.bicubic,
            channels=settings.channels or "rgb",
            output=self._output,
            pool=settings.pool,
            # The usual layout is left out, so that caches and runs from before it was a part stay valid.
            **({"layout": "nhwc"} if self._input.channels_last else {}),
        )
        self.dim = self._probe()

    def run(self, inputs: Floats) -> Floats:
        """The vectors of prepared images."""
        size = self._input.batch or len(inputs)
        parts = [self._run(inputs[start : start + size], size) for start in range(0, len(inputs), size)]
        return np.concatenate(parts)

    def _run(self, inputs: Floats, size: int) -> Floats:
        """The vectors of at most ``size`` images, which are padded to this number."""
        count = len(inputs)
        padded = np.concatenate([inputs, np.repeat(inputs[-1:], size - count, axis=0)]) if count < size else inputs
        mean, std = (
            np.array(one, np.float32).reshape(3, 1, 1) for one in (self.preprocessing.mean, self.preprocessing.std)
        )
        pixels = (padded - mean) / std
        if self._settings.channels == "bgr":
            pixels = pixels[:, ::-1]
        if self._input.channels_last:
            pixels = pixels.transpose(0, 2, 3, 1)
        try:
            [output] = self._session.run(
                [self._output], {self._input.name: np.ascontiguousarray(pixels, self._input.dtype)}
            )
        except Exception as error:  # noqa: BLE001  the engine's exceptions share no narrower base
            if is_out_of_memory(error):
                raise Unreachable(f"{self.name} needs more memory than there is", hint="lower the batch size") from None
            pixels_shown = size_text(self.preprocessing.crop)
            raise InvalidInput(
                f"{self.name} does not run on {size} image(s) of {pixels_shown} px: {one_line(error)}",
                hint="check crop; if it takes one image only, export it with a batch of 1",
            ) from None
        vectors = to_vectors(self.name, output, self._settings)
        if len(vectors) != size:
            raise InvalidInput(
                f"{self.name} gives {len(vectors)} vectors for {size} image(s)",
                hint="export it so that each image has one vector",
            )
        return vectors[:count]

    def _probe(self) -> int:
        """The length of a vector, from a run on two images, which a model that fixes one by mistake cannot do."""
        return int(self.run(np.zeros((2, 3, *self.preprocessing.size), np.float32)).shape[1])


def _load(file: Path, threads: int | None) -> Any:
    check_utf8(file)
    engine = require("onnxruntime", extra="onnxruntime")
    engine.set_default_logger_severity(_FATAL_ONLY)  # other errors are raised as exceptions
    options = engine.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads or threads_under_quota() or 0  # 0 leaves the number to the engine
    try:
        return engine.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  the engine's exceptions share no narrower base
        reason = one_line(error).replace(f"Load model from {file} failed:", "").strip()
        raise InvalidInput(
            f"{file.name}: onnxruntime cannot load it ({reason})",
            hint="export it again, with standard operators only",
        ) from None


def _preprocessing(model: str, settings: TeacherSettings, fixed: tuple[int | None, int | None]) -> Preprocessing:
    """The preprocessing in the units and the order of this package: 0..1, RGB."""
    crop = _crop(model, settings, fixed)
    if (settings.mean is None) != (settings.std is None):
        raise InvalidInput(f"{model} has a mean or a std, but not both", hint="give both, or neither")
    mean, std = settings.mean, settings.std
    if mean is None or std is None:
        if settings.range is not None and settings.range != 1:
            raise InvalidInput(
                f"{model} takes pixels in 0..{settings.range}, and its mean and std are not given",
                hint="give mean and std; mean = [0, 0, 0] and std = [1, 1, 1] leave the pixels as they are",
            )
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        _log.info("%s: mean and std are not given; those of ImageNet are taken", model)
    elif settings.channels == "bgr":
        mean, std = mean[::-1], std[::-1]
    fit = settings.fit or "crop"
    if settings.resize is None:
        _log.info("%s: resize is not given; images are fitted to %s px (%s)", model, size_text(crop), fit)
    scale = settings.range or 1
    return Preprocessing(
        crop=crop,
        resize=settings.resize or crop,
        fit=fit,
        mean=(mean[0] / scale, mean[1] / scale, mean[2] / scale),
        std=(std[0] / scale, std[1] / scale, std[2] / scale),
    )


def _crop(model: str, settings: TeacherSettings, fixed: tuple[int | None, int | None]) -> Size:
    """The size of the images: the given one, or the one that the model fixes."""
    height, width = fixed
    if settings.crop is None:
        if height is None or width is None:
            raise InvalidInput(f"{model} takes images of any size", hint="give the size of its images with crop")
        return height, width
    given = sides(settings.crop)
    if any(side not in {None, one} for side, one in zip(fixed, given, strict=True)):
        size = f"{height or 'any'} x {width or 'any'}"
        raise InvalidInput(
            f"{model} takes images of {size} px, and crop is {size_text(given)}",
            hint=f"give a crop of {size} px, height x width",
        )
    return given
