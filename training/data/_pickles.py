"""Reading pickles of plain values and numpy arrays. No function that a pickle names is ever called.

Any other content raises InvalidInput.
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
from prunnet_export._limits import ARRAYS_BYTES
from prunnet_export._pickle_codes import check_pickle

_HINT = "download it again"
# The names in a pickle of a numpy array or number, with the module names before and since numpy 2.
_NAMES = {
    (module, name): name
    for package in ("numpy.core", "numpy._core")
    for module, name in (
        (f"{package}.multiarray", "_reconstruct"),
        (f"{package}.multiarray", "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),  # for bytes, if Python 3 wrote protocol 2
        ("__builtin__", "bytes"),  # for empty bytes
    )
}
_NUMBERS = frozenset("biuf")


class _RecordedCall:
    """A call in the pickle. It is recorded and not executed."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: tuple[Any, ...] | None = None) -> None:
        self.name, self.args = name, args
        self.state: Any = None

    def __call__(self, *args: Any) -> _RecordedCall:
        return _RecordedCall(self.name, args)

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):  # a pickle gets functions and classes only from find_class
    def find_class(self, module: str, name: str) -> _RecordedCall:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}"[:80])
        return _RecordedCall(name)


def read_pickle(file: Path) -> Any:
    """The dictionaries, lists, tuples, strings, bytes and numbers in a pickle. Arrays must be read by :func:`array`.

    Python looks up the functions of a pickle by :meth:`pickle.Unpickler.find_class`. Here that method returns an object
    that only records its arguments, for the few names that numpy's arrays need. It refuses every other name.
    """
    content = read_bytes(file, at_most=ARRAYS_BYTES)
    try:
        check_pickle(content)
        return _Reader(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # noqa: BLE001  # pickle raises many kinds of errors for other bytes
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InvalidInput(f"{file} is not a pickle of plain values ({reason})", hint=_HINT) from None


def array(value: Any, where: str) -> npt.NDArray[Any]:
    """A value of :func:`read_pickle` as an array of numbers: it is a pickled array or a list of numbers."""
    try:
        return _array(value)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InvalidInput(f"{where} is no array of numbers ({error})", hint=_HINT) from None


def _array(value: Any) -> npt.NDArray[Any]:
    if isinstance(value, list | tuple):
        made = np.asarray([_number(one) for one in value] or np.empty(0, np.int64))
        if made.dtype.kind not in _NUMBERS:  # e.g. objects, for integers beyond 64 bits
            raise TypeError("no numbers")
        return made
    if not isinstance(value, _RecordedCall) or value.name != "_reconstruct" or not isinstance(value.state, tuple):
        raise TypeError(type(value).__name__)
    _version, shape, dtype, fortran, content = value.state
    flat = np.frombuffer(_bytes(content), _dtype(dtype))
    return flat.reshape(tuple(int(side) for side in shape), order="F" if fortran else "C")


def _number(value: Any) -> int | float:
    if isinstance(value, _RecordedCall) and value.name == "scalar" and value.args is not None:
        dtype, content = value.args
        number: int | float = np.frombuffer(_bytes(content), _dtype(dtype))[0].item()
        return number
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(type(value).__name__)
    return value


def _dtype(value: Any) -> np.dtype[Any]:
    """The dtype of a recorded call such as ``dtype('i8', 0, 1)``. The second item of its state is the byte order."""
    if not isinstance(value, _RecordedCall) or value.name != "dtype" or value.args is None:
        raise TypeError("no dtype")
    code = str(value.args[0])
    if code[:1] not in _NUMBERS or not code[1:].isdigit():
        raise ValueError(f"dtype {code[:20]!r}")
    big = isinstance(value.state, tuple) and value.state[1] == ">"
    return np.dtype(code).newbyteorder(">" if big else "<")


def _bytes(value: Any) -> bytes:
    if isinstance(value, _RecordedCall) and value.name in {"encode", "bytes"} and value.args is not None:
        value = value.args[0] if value.args else b""
    return value.encode("latin1") if isinstance(value, str) else bytes(memoryview(value))
