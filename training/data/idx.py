"""Fashion-MNIST: small pictures of clothes, in MNIST's idx files, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._files import open_regular
from prunnet_export._limits import ARRAYS_BYTES
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._arrays import ArraySplit
from prunnet_export.training.data._files import first_file

STEMS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_IMAGES, _LABELS = 3, 1  # numbers of dimensions, in the last byte of the magic number
_UBYTE = 0x08  # type code, in the third byte of the magic number
_LARGEST_SIDE = 4096  # pixels; a larger side means a damaged header
_DEFLATE_LIMIT = 1032  # deflate never expands one byte into more bytes than this


class Idx(DatasetFormat):
    """``train-images-idx3-ubyte`` and the three other files, plain or ``.gz``, in the folder or in ``raw/``.

    This layout is for Fashion-MNIST, whose images may be mirrored. MNIST and other sets have files of the same names,
    but mirroring makes their characters wrong.
    """

    name = "fashion-mnist"

    def matches(self, path: Path) -> bool:
        """Whether the training images are there."""
        return _find(path, STEMS[0]) is not None

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        train = _load_split(path, STEMS[0], STEMS[1], gapless=True)
        test = _load_split(path, STEMS[2], STEMS[3], gapless=False)
        classes, counts = np.unique(test.labels, return_counts=True)
        if counts.min() == 1:
            raise InvalidInput(
                f"{path}: test class {classes[counts.argmin()]} has a single image to find",
                hint="give at least two test images of each class",
            )
        return RetrievalData.searching_itself(f"fashion-mnist {path}", train, test)


def _load_split(path: Path, image_stem: str, label_stem: str, *, gapless: bool) -> ArraySplit:
    image_file, label_file = _find(path, image_stem), _find(path, label_stem)
    if image_file is None or label_file is None:
        stem = label_stem if image_file else image_stem
        raise InvalidInput(f"{path / stem}-ubyte: no such file, nor with .gz", hint="the layout has four idx files")
    images, labels = _read(image_file, _IMAGES), _read(label_file, _LABELS)
    if len(images) != len(labels):
        raise InvalidInput(
            f"{label_file}: {len(labels)} labels for the {len(images)} images of {image_file}",
            hint="the two files belong to different downloads",
        )
    numbers = np.unique(labels, return_inverse=True)[1] if gapless else labels
    return ArraySplit(images, numbers, name=image_file.name)


def _find(path: Path, stem: str) -> Path | None:
    """The file with ``-idx3`` or ``.idx3`` in its name; a plain file is preferred to a gzipped one."""
    dotted = stem.replace("-idx", ".idx")
    names = [f"{spelling}-ubyte{suffix}" for suffix in ("", ".gz") for spelling in (stem, dotted)]
    return first_file(folder / name for folder in (path, path / "raw") for name in names)


def _read(file: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """The uint8 array of an idx file. Every field of its header is checked."""
    try:
        with open_regular(file) as opened, gzip.open(opened) if file.suffix == ".gz" else opened as stream:
            return _parse(file, cast("BinaryIO", stream), dimensions)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidInput(f"{file}: damaged gzip file ({error})", hint="download it again") from None
    except OSError as error:
        raise StorageError(f"{file}: cannot be read ({error.strerror})", hint="check its permissions") from None


def _parse(file: Path, stream: BinaryIO, dimensions: int) -> npt.NDArray[np.uint8]:
    length = 4 * (1 + dimensions)
    header = stream.read(length)
    if len(header) < length:
        raise InvalidInput(f"{file}: truncated in its header", hint="download it again")
    zero, kind, found, *shape = struct.unpack(f">HBB{dimensions}I", header)
    if (zero, kind, found) != (0, _UBYTE, dimensions):
        raise InvalidInput(
            f"{file}: magic number 0x{header[:4].hex()} instead of 0x0000{_UBYTE:02x}{dimensions:02x}",
            hint="not an idx file of bytes, or images and labels are swapped",
        )
    if shape[0] == 0 or any(not 1 <= side <= _LARGEST_SIDE for side in shape[1:]):
        raise InvalidInput(f"{file}: its header announces the shape {shape}", hint="the file is empty or damaged")
    size = math.prod(shape)
    # A damaged header can announce terabytes, so compare it with the size of the file before allocating memory.
    on_disk = file.stat().st_size
    if size > min(on_disk * (_DEFLATE_LIMIT if file.suffix == ".gz" else 1), ARRAYS_BYTES):
        raise InvalidInput(f"{file}: truncated, {size} bytes announced", hint="download it again")
    payload = stream.read(size)
    if len(payload) < size:
        raise InvalidInput(f"{file}: truncated, {len(payload)} of {size} bytes", hint="download it again")
    if stream.read(1):
        raise InvalidInput(f"{file}: bytes follow after the announced {size}", hint="download it again")
    return np.frombuffer(payload, np.uint8).reshape(shape)


FORMAT = Idx()
