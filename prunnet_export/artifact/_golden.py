"""The golden pair of an artifact: one image and its vector, in plain files that any language reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._limits import IMAGE_BYTES
from prunnet_export.file_names import FileName

GOLDEN = "golden"
"""The folder of the pair in an artifact."""

_HINT = "copy or export the artifact again"


class GoldenEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of the golden pair. The image is drawn by this package, so it shows nothing of a data set.

    Attributes:
        image: An RGB image as PNG, as it is before the preprocessing.
        pixels: The same image after the preprocessing: uint8 [height, width, 3], RGB, row by row, without a header.
        output: The vector that the verified model gives for it: float32 [embedding_dim], little-endian, without a
            header. A verification by a twin gives the twin's vector.
    """

    image: FileName = f"{GOLDEN}/input.png"
    pixels: FileName = f"{GOLDEN}/pixels.u8"
    output: FileName = f"{GOLDEN}/output.f32"


@dataclass(frozen=True, eq=False)
class GoldenPair:
    """A golden pair.

    Attributes:
        image: The contents of a PNG file.
        pixels: uint8 [height, width, 3], RGB.
        output: float32 [dim].
    """

    image: bytes
    pixels: npt.NDArray[np.uint8]
    output: npt.NDArray[np.float32]


def write_golden(folder: Path, pair: GoldenPair) -> GoldenEntry:
    """Write a golden pair into the folder of an artifact.

    Raises:
        OSError: the disk is full.
    """
    entry = GoldenEntry()
    (folder / GOLDEN).mkdir()
    (folder / entry.image).write_bytes(pair.image)
    (folder / entry.pixels).write_bytes(pair.pixels.tobytes())
    (folder / entry.output).write_bytes(pair.output.astype("<f4").tobytes())
    return entry


def read_golden(folder: Path, entry: GoldenEntry, *, size: tuple[int, int], dim: int) -> GoldenPair:
    """Read a golden pair.

    Args:
        folder: Folder of the artifact.
        entry: The manifest's entry.
        size: Height and width of the input.
        dim: Length of an embedding.

    Raises:
        InvalidInput: a file is missing, or does not have the length that the manifest asks for.
    """
    height, width = size
    pixels = _exactly(folder / entry.pixels, height * width * 3)
    output = _exactly(folder / entry.output, dim * np.dtype("<f4").itemsize)
    return GoldenPair(
        read_bytes(folder / entry.image, at_most=IMAGE_BYTES),
        np.frombuffer(pixels, np.uint8).reshape(height, width, 3),
        np.frombuffer(output, "<f4").astype(np.float32),
    )


def _exactly(file: Path, length: int) -> bytes:
    if file.is_file() and (found := file.stat().st_size) != length:
        raise InvalidInput(f"{file}: {found} bytes, the manifest asks for {length}", hint=_HINT)
    return read_bytes(file, at_most=length)
