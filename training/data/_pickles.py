"""Pickles of plain values and numpy arrays, read without calling anything that they name.

Whatever else is in one is an InvalidInput.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes

_HINT = "download it again"
# What numpy names when it pickles an array or a number, under its spelling before and since version 2.
_NAMES = {
    (module, name): name
    for package in ("numpy.core", "numpy._core")
    for module, name in (
        (f"{package}.multiarray", "_reconstruct"),
        (f"{package}.multiarray", "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),  # how Python 3 writes bytes in protocol 2, and, where there are none:
        ("__builtin__", "bytes"),
    )
}
_NUMBERS = frozenset("biuf")


class _Recorded:
    """A call that the pickle asks for, written down and not made."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: tuple[Any, ...] | None = None) -> None:
        self.name, self.args = name, args
        self.state: Any = None

    def __call__(self, *args: Any) -> _Recorded:
        return _Recorded(self.name, args)

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):  # its find_class is all that a pickle can reach code through
    def find_class(self, module: str, name: str) -> _Recorded:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}"[:80])
        return _Recorded(name)


def read_pickle(file: Path) -> Any:
    """The dictionaries, lists, tuples, strings, bytes and numbers in a pickle; arrays are for :func:`array` to read.

    Python looks a pickle's functions up by :meth:`pickle.Unpickler.find_class`. Here that gives stand-ins which note
    what they are called with, for the few names that numpy's arrays need, and refuses every other name.
    """
    content = read_bytes(file)
    try:
        return _Reader(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # noqa: BLE001  # on foreign bytes pickle raises what it likes
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InvalidInput(f"{file} is not a pickle of plain values ({reason})", hint=_HINT) from None


def array(value: Any, where: str) -> npt.NDArray[Any]:
    """The array of numbers that a value of :func:`read_pickle` is: one that was pickled, or a list of numbers."""
    try:
        return _array(value)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InvalidInput(f"{where} is no array of numbers ({error})", hint=_HINT) from None


def _array(value: Any) -> npt.NDArray[Any]:
    if isinstance(value, list | tuple):
        made = np.asarray([_number(one) for one in value] or np.empty(0, np.int64))
        if made.dtype.kind not in _NUMBERS:  # integers beyond 64 bits become objects
            raise TypeError("no numbers")
        return made
    if not isinstance(value, _Recorded) or value.name != "_reconstruct" or not isinstance(value.state, tuple):
        raise TypeError(type(value).__name__)
    _version, shape, dtype, fortran, content = value.state
    flat = np.frombuffer(_bytes(content), _dtype(dtype))
    return flat.reshape(tuple(int(side) for side in shape), order="F" if fortran else "C")


def _number(value: Any) -> int | float:
    if isinstance(value, _Recorded) and value.name == "scalar" and value.args is not None:
        dtype, content = value.args
        number: int | float = np.frombuffer(_bytes(content), _dtype(dtype))[0].item()
        return number
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(type(value).__name__)
    return value


def _dtype(value: Any) -> np.dtype[Any]:
    """The number type out of ``dtype('i8', 0, 1)`` and its state, whose second item is the byte order."""
    if not isinstance(value, _Recorded) or value.name != "dtype" or value.args is None:
        raise TypeError("no dtype")
    code = str(value.args[0])
    if code[:1] not in _NUMBERS or not code[1:].isdigit():
        raise ValueError(f"dtype {code[:20]!r}")
    big = isinstance(value.state, tuple) and value.state[1] == ">"
    return np.dtype(code).newbyteorder(">" if big else "<")


def _bytes(value: Any) -> bytes:
    if isinstance(value, _Recorded) and value.name in {"encode", "bytes"} and value.args is not None:
        value = value.args[0] if value.args else b""
    return value.encode("latin1") if isinstance(value, str) else bytes(memoryview(value))
