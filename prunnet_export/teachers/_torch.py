"""Teachers that torch computes: networks of this package, and architectures of timm."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export._files import sha256
from prunnet_export._imports import require
from prunnet_export._text import shown
from prunnet_export.network import Embedder, build_embedder, load_checkpoint
from prunnet_export.preprocessing import Fit, Preprocessing, Size, sides
from prunnet_export.teachers._settings import TeacherSettings
from prunnet_export.teachers._teacher import Floats, Teacher, identity_of

# Names of timm, and ours. Its "border" pads with another colour.
_FITS: dict[str, Fit] = {"center": "crop", "squash": "squash"}
_TIMM_SETTINGS = {"resize", "crop", "fit", "mean", "std", "interpolation", "weights"}


class _TorchTeacher(Teacher):
    """A teacher whose vectors a function of torch computes."""

    def __init__(self, vectors: Callable[[Tensor], Tensor], threads: int | None) -> None:
        self._vectors = vectors
        self._threads = threads
        self.dim = self.run(np.zeros((1, 3, *self.preprocessing.size), np.float32)).shape[1]

    def run(self, inputs: Floats) -> Floats:
        """The vectors of prepared images."""
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            vectors: Floats = self._vectors(torch.from_numpy(inputs)).float().numpy()
        return vectors


class NetworkTeacher(_TorchTeacher):
    """The dense network in a folder of ``prunnet-train``.

    Args:
        folder: The folder.
        settings: Has to be empty, because the folder says how images are preprocessed.
        threads: Threads of torch, for the whole process; None leaves them.

    Raises:
        InvalidInput: the folder holds no network, or a setting is given.
    """

    kind: ClassVar[Literal["network"]] = "network"

    def __init__(self, folder: Path, settings: TeacherSettings, *, threads: int | None = None) -> None:
        for name in settings.given():
            raise InvalidInput(f"{folder} has its own preprocessing", hint=f"leave out {name} for this teacher")
        checkpoint = load_checkpoint(folder)
        config = checkpoint.config
        self.name = shown(folder.resolve().name)
        self.preprocessing = config.preprocessing
        self.identity = identity_of(
            kind=self.kind,
            weights=config.weights_sha256,
            backbone=config.backbone,
            options=config.backbone_options,
            preprocessing=config.preprocessing,
        )
        super().__init__(checkpoint.network.embedder, threads)


class TimmTeacher(_TorchTeacher):
    """The pooled features of an architecture of timm with weights from a file.

    Args:
        architecture: Name of the architecture.
        settings: The file of the weights. The preprocessing is that of the architecture where nothing is given.
        threads: Threads of torch, for the whole process; None leaves them.

    Raises:
        UnknownName: there is no such architecture.
        InvalidInput: the weights are missing or of another architecture, or a setting does not apply.
    """

    kind: ClassVar[Literal["timm"]] = "timm"

    def __init__(self, architecture: str, settings: TeacherSettings, *, threads: int | None = None) -> None:
        for name in sorted(settings.given().keys() - _TIMM_SETTINGS):
            raise InvalidInput(f"timm:{architecture} takes no setting {name}", hint=f"leave out {name}")
        from prunnet_export.network import load_weights

        self.preprocessing, self.bicubic = _timm_preprocessing(architecture, settings)
        if settings.weights is None:
            raise InvalidInput(
                f"timm:{architecture} has no weights here",
                hint="give their file: --teacher-option weights=FILE, or the key weights of the settings",
            )
        weights = Path(settings.weights)
        if not weights.is_file():
            raise InvalidInput(f"{weights}: no such file of weights", hint="check the path")
        self.name = architecture
        # The projector of this embedder is not used: its features are the vectors.
        embedder: Embedder = build_embedder(architecture, dim=1, preprocessing=self.preprocessing).eval()
        load_weights(embedder, weights)
        self.identity = identity_of(
            kind=self.kind,
            architecture=architecture,
            weights=sha256(weights),
            preprocessing=self.preprocessing,
            bicubic=self.bicubic,
        )
        super().__init__(embedder.features, threads)


def _timm_preprocessing(architecture: str, settings: TeacherSettings) -> tuple[Preprocessing, bool]:
    """The preprocessing of an architecture under the given settings, and whether it resizes bicubic."""
    timm = require("timm", extra="train")
    if not timm.is_model(architecture):
        raise UnknownName("architecture of timm", architecture, timm.list_models())
    known: Any = timm.get_pretrained_cfg(architecture)
    fit = settings.fit or _FITS.get(known.crop_mode)
    if fit is None:
        raise InvalidInput(
            f"timm:{architecture} was trained on images that were fitted in another way ({known.crop_mode})",
            hint="give fit: crop, squash or pad",
        )
    crop: Size = settings.crop or (int(known.input_size[-2]), int(known.input_size[-1]))
    height, width = (max(side, math.floor(side / known.crop_pct)) for side in sides(crop))
    preprocessing = Preprocessing(
        crop=crop,
        resize=settings.resize or (height, width),
        fit=fit,
        mean=settings.mean or known.mean,
        std=settings.std or known.std,
    )
    return preprocessing, (settings.interpolation or known.interpolation) != "bilinear"
