"""Mistakes in the preprocessing of a device, and which of them explains the vectors that it computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from prunnet_export.evaluating import Embeddings, ModelOnDevice
from prunnet_export.preprocessing import Preprocessing

Inputs = npt.NDArray[np.float32]
_WHITE = (255, 255, 255)
CORRECT = "as the manifest says"


@dataclass(frozen=True)
class Mistake:
    """A way to make the inputs of a network.

    Attributes:
        name: What was done wrong, for people.
        inputs: The inputs float32 [n, 3, h, w] of upright RGB images.
    """

    name: str
    inputs: Callable[[Sequence[Image.Image], Preprocessing], Inputs]


def _correct(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return preprocessing(images)


def _swapped(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return np.ascontiguousarray(preprocessing(images)[:, ::-1])


def _bytes(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return preprocessing(images) * np.float32(255)


def _standardised(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    mean, std = (np.array(one, np.float32)[:, None, None] for one in (preprocessing.mean, preprocessing.std))
    return (preprocessing(images) - mean) / std


def _centred(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return preprocessing(images) * np.float32(2) - np.float32(1)


def _squashed(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return _with(images, preprocessing, fit="squash", resize=preprocessing.crop)


def _whole(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return _with(images, preprocessing, resize=preprocessing.crop)


def _cropped(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return _with(images, preprocessing, fit="crop")


def _padded(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return _with(images, preprocessing, fit="pad", resize=preprocessing.crop)


def _nearest(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return preprocessing([_enlarged(image, preprocessing) for image in images])


def _enlarged(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    size = preprocessing.resized(image).size
    return image.resize(size, Image.Resampling.NEAREST)


def _turned(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Inputs:
    return np.ascontiguousarray(np.swapaxes(preprocessing(images), 2, 3))


def _with(images: Sequence[Image.Image], preprocessing: Preprocessing, **changed: object) -> Inputs:
    import msgspec

    return msgspec.structs.replace(preprocessing, **changed)(images)


MISTAKES = (
    Mistake(CORRECT, _correct),
    Mistake("red and blue are swapped (BGR)", _swapped),
    Mistake("pixels are 0..255 and not 0..1", _bytes),
    Mistake("mean and std are applied, and the graph applies them again", _standardised),
    Mistake("pixels are -1..1 and not 0..1", _centred),
    Mistake("the image is squashed into the input", _squashed),
    Mistake("the image is resized to the input without the margin that is cropped", _whole),
    Mistake("the image is cropped where it should be squashed or padded", _cropped),
    Mistake("the image is padded to the input", _padded),
    Mistake("the image is resized by the nearest pixel", _nearest),
    Mistake("height and width are swapped", _turned),
)


@dataclass(frozen=True)
class Explanation:
    """How well one way to make inputs explains the vectors of a device.

    Attributes:
        name: Name of the way.
        median: Median cosine over the images.
        worst: Worst cosine over the images.
    """

    name: str
    median: float
    worst: float


def explanations(
    tested: ModelOnDevice, preprocessing: Preprocessing, images: Sequence[Image.Image], vectors: Embeddings
) -> list[Explanation]:
    """All ways whose inputs the model takes, the best first.

    Args:
        tested: The artifact's model.
        preprocessing: The artifact's preprocessing.
        images: The images.
        vectors: float32 [n, d], unit vectors that the device computed of them.

    Raises:
        PrunnetError: the model cannot be run.
    """
    found = []
    for mistake in MISTAKES:
        inputs = mistake.inputs(images, preprocessing)
        if inputs.shape[2:] != preprocessing.size:  # height and width are swapped, and they differ
            continue
        cosines = np.sum(tested.embed([inputs]) * vectors, axis=1)
        found.append(Explanation(mistake.name, float(np.median(cosines)), float(cosines.min())))
    # The first of equal ones: a mistake that changes nothing here is none.
    return sorted(found, key=lambda one: -round(one.median, 6))
