"""A teacher that is a model: it gives vectors of images."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from prunnet_export.network_config import TeacherKind
from prunnet_export.preprocessing import Preprocessing, to_chw

Floats = npt.NDArray[np.float32]


class Teacher(ABC):
    """A model that is loaded, and how it takes images.

    Attributes:
        kind: The kind of model.
        name: Name of its file, folder or architecture, without folders.
        identity: SHA-256 over the bytes of the model and its preprocessing.
        dim: Length of its vectors.
        preprocessing: Size, mean and std, for values in 0..1 and the order red, green, blue.
        bicubic: Whether images are resized bicubic instead of bilinear.
        opener: Opens the same model with one thread. It can be sent to another process.
    """

    kind: ClassVar[TeacherKind]
    name: str
    identity: str
    dim: int
    preprocessing: Preprocessing
    bicubic: bool = False
    opener: Callable[[], Teacher]

    def prepare(self, image: Image.Image) -> Floats:
        """The input for one image: float32 [3, h, w] in 0..1, RGB."""
        return to_chw(self.preprocessing.cropped(image, bicubic=self.bicubic))

    @abstractmethod
    def run(self, inputs: Floats) -> Floats:
        """The vectors of prepared images, as the model gives them; they need not be unit vectors.

        Args:
            inputs: float32 [n, 3, h, w] in 0..1, RGB, n >= 1.

        Returns:
            float32 [n, dim].

        Raises:
            InvalidInput: the model fails on them.
        """

    def embed(self, images: Sequence[Image.Image]) -> Floats:
        """The vectors float32 [n, dim] of images, as :meth:`run` gives them."""
        if not images:
            return np.empty((0, self.dim), np.float32)
        return self.run(np.stack([self.prepare(image) for image in images]))


def identity_of(**facts: object) -> str:
    """The SHA-256 of everything that a teacher's vectors depend on, as JSON values."""
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()
