"""CIFAR-100: small pictures of a hundred classes, in the binary or the Python version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._limits import ARRAYS_BYTES
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._arrays import ArraySplit
from prunnet_export.training.data._lists import number_classes
from prunnet_export.training.data._pickles import array, read_pickle

BINARY, PYTHON = ("train.bin", "test.bin"), ("train", "test")
FOLDERS = ("", "cifar-100-binary", "cifar-100-python")
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_RECORD = 2 + _PIXELS  # coarse label, fine label, red, green, blue
_Images = npt.NDArray[np.uint8]
_HINT = "download it again"


class Cifar100(DatasetFormat):
    """``train.bin`` and ``test.bin``, or the pickles ``train``, ``test`` and ``meta``, whose code is not executed.

    Every test image is a query, and the other test images are its gallery. The labels are the hundred fine classes.
    """

    name = "cifar-100"

    def matches(self, path: Path) -> bool:
        """Whether the files of one version are there."""
        return _find(path) is not None

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        found = _find(path)
        if found is None:
            raise InvalidInput(f"{path}: no CIFAR-100", hint=f"give the folder with {' and '.join(BINARY)}, or meta")
        (train_images, train_labels), (test_images, test_labels) = (
            _read_binary(file) if file.suffix else _read_python(file) for file in found
        )
        return RetrievalData.searching_itself(
            f"cifar-100 {path}",
            ArraySplit(train_images, number_classes(train_labels.tolist()), name=found[0].name),
            ArraySplit(test_images, test_labels, name=found[1].name),
        )


def _find(path: Path) -> tuple[Path, Path] | None:
    """The files of the binary version, or those of the Python version, in ``path`` or in the folder of the archive."""
    for folder in FOLDERS:
        if all((path / folder / name).is_file() for name in BINARY):
            return path / folder / BINARY[0], path / folder / BINARY[1]
        if all((path / folder / name).is_file() for name in (*PYTHON, "meta")):
            return path / folder / PYTHON[0], path / folder / PYTHON[1]
    return None


def _read_binary(file: Path) -> tuple[_Images, npt.NDArray[np.int64]]:
    content = np.frombuffer(read_bytes(file, at_most=ARRAYS_BYTES), np.uint8)
    if content.size == 0 or content.size % _RECORD:
        raise InvalidInput(f"{file}: {content.size} bytes are no records of {_RECORD}", hint=_HINT)
    records = content.reshape(-1, _RECORD)
    return _as_images(records[:, 2:]), records[:, 1].astype(np.int64)


def _read_python(file: Path) -> tuple[_Images, npt.NDArray[np.int64]]:
    document: Any = read_pickle(file)
    if not isinstance(document, dict) or not {"data", "fine_labels"} <= document.keys():
        raise InvalidInput(f"{file}: no 'data' and 'fine_labels' in it", hint=_HINT)
    pixels = array(document["data"], f"{file}: data")
    labels = array(document["fine_labels"], f"{file}: fine_labels")
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InvalidInput(f"{file}: fine_labels is {labels.dtype} {labels.shape}", hint=_HINT)
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), _PIXELS) or len(labels) == 0:
        raise InvalidInput(
            f"{file}: data is {pixels.dtype} {pixels.shape} for {len(labels)} labels",
            hint=f"expected uint8 [labels, {_PIXELS}]; {_HINT}",
        )
    return _as_images(pixels), labels.astype(np.int64)


def _as_images(pixels: npt.NDArray[np.uint8]) -> _Images:
    """Images uint8 [n, 32, 32, 3], from rows that hold one colour after the other."""
    return pixels.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)


FORMAT = Cifar100()
