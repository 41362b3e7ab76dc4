"""The golden pair: an image that is drawn here, its vector, and the gate that compares both again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from prunnet_export.artifact import Gate, GoldenEntry, GoldenPair, Manifest, read_golden, write_golden
from prunnet_export.evaluating._gate import at_least
from prunnet_export.evaluating._metrics import worst_cosine
from prunnet_export.evaluating._model import ModelOnDevice
from prunnet_export.preprocessing import Preprocessing, to_chw

GATE = "golden pair"
_LONGEST = 800  # pixels of a side


def golden_image(preprocessing: Preprocessing) -> Image.Image:
    """The RGB image of the golden pair.

    It has gradients, so that swapped or mirrored axes and channels show, and sharp edges, so that another resize shows.
    It is larger than the frame, with another ratio, because most mistakes are made when images become smaller.
    """
    height, width = (
        min(_LONGEST, max(2, side * share // 8)) for side, share in zip(preprocessing.frame, (11, 15), strict=True)
    )
    y, x = np.mgrid[:height, :width]
    red, green = x * 255 // (width - 1), y * 255 // (height - 1)
    blue = (x // 7 + y // 5) % 2 * 255
    stripes = (x + y) % 23 < 4  # noqa: PLR2004  # narrow ones
    colours = np.stack([np.where(stripes, 255 - red, red), green, blue], axis=-1)
    return Image.fromarray(colours.astype(np.uint8))


def save_golden(folder: Path, tested: ModelOnDevice, preprocessing: Preprocessing) -> GoldenEntry | None:
    """Write a golden pair into the folder of an artifact; returns None if its vector would not be finite.

    Args:
        folder: Folder of the artifact.
        tested: The model that is verified.
        preprocessing: The artifact's preprocessing.

    Raises:
        PrunnetError: the device does not answer.
        OSError: the disk is full.
    """
    image = golden_image(preprocessing)
    cropped = preprocessing.cropped(image)
    [output] = tested.embed([to_chw(cropped)[None]])
    if not np.isfinite(output).all():
        return None
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return write_golden(folder, GoldenPair(buffer.getvalue(), np.asarray(cropped), output))


def golden_gates(folder: Path, manifest: Manifest, tested: ModelOnDevice) -> list[Gate]:
    """The gate of the golden pair; empty if the artifact has none.

    Args:
        folder: Folder of the artifact.
        manifest: Manifest of the artifact.
        tested: The model and its device.

    Raises:
        InvalidInput: a file of the pair is damaged.
        PrunnetError: the device does not answer.
    """
    if manifest.golden is None:
        return []
    preprocessing = manifest.preprocessing
    pair = read_golden(folder, manifest.golden, size=preprocessing.size, dim=manifest.network.embedding_dim)
    inputs = np.concatenate([to_chw(Image.fromarray(pair.pixels))[None], preprocessing([pair.image])])
    found = tested.embed([inputs])
    usable = np.isfinite(found).all() and found.any(axis=1).all() and np.isfinite(pair.output).all()
    return [
        at_least(
            GATE,
            worst_cosine(found, np.stack([pair.output] * len(found))) if usable and pair.output.any() else -1.0,
            manifest.verification.thresholds.parity,
            n=len(found),
            note="worst cosine between the stored vector and the one from the stored pixels and from the stored PNG",
        )
    ]
