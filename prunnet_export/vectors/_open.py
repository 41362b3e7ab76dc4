"""Opening a file of vectors, whatever its kind. The kind is read from its first bytes, not from its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular, reading_errors
from prunnet_export.vectors._faiss_files import open_faiss
from prunnet_export.vectors._names import names_beside, read_names
from prunnet_export.vectors._numpy_files import open_npy, open_npz
from prunnet_export.vectors._parquet_files import open_parquet
from prunnet_export.vectors._safetensors_files import open_safetensors
from prunnet_export.vectors._shards import KINDS, has_ending, open_shards
from prunnet_export.vectors._stored import StoredVectors

_OPENERS: dict[bytes, Callable[[Path], StoredVectors]] = {
    b"\x93NUM": open_npy,
    b"PK\x03\x04": open_npz,
    b"PK\x05\x06": open_npz,  # an archive without members
    b"PAR1": open_parquet,
}
_EXPECTED = f"vectors are in {KINDS}"
_FIRST_BYTES = 64  # more than each kind needs to be known
_ZIP_NAME = 30  # where a zip's first member has its name


def open_vectors(file: Path, *, names: Path | None = None) -> StoredVectors:
    """The vectors of a file: ``.npy``, ``.npz``, Parquet, safetensors, an index of FAISS, or a folder of them.

    Only what is asked for is read into memory, except from a compressed ``.npz`` and from an index that is not flat.
    Nothing in the file is executed. NaN and zero rows are not looked for here; see ``StoredVectors.check_rows``.

    Args:
        file: The file, or the folder.
        names: A list of names, one on each line, or JSON. If the file has no names, and this is None, a list beside
            it is used: ``X.names.txt``, ``X.txt``, ``X.names.json`` or ``X.json`` for ``X.npy``.

    Raises:
        InvalidInput: the file is missing, corrupt, empty or of another kind; its parts, or the names, do not fit
            together; or a name is there twice.
        MissingExtra: pyarrow or FAISS is needed and not installed.
    """
    if file.is_dir():
        if names is not None:
            raise InvalidInput(f"{file} is a folder", hint=f"leave {names} out; its files may have names beside them")
        return open_shards(file, open_vectors)
    try:
        start = _first_bytes(file)
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}", hint="check the path and its permissions") from None
    opener = _opener(start)
    if opener is None:
        raise InvalidInput(f"{file} is {'empty' if not start else 'no file of vectors'}", hint=_EXPECTED)
    vectors = opener(file)
    if names is not None and vectors.names is not None:
        raise InvalidInput(f"{file} has names of its own", hint=f"leave {names} out")
    beside = names or (names_beside(file) if vectors.names is None else None)
    return vectors if beside is None else vectors.named(read_names(beside), beside)


def holds_vectors(place: Path) -> bool:
    """Whether a file or a folder is one for :func:`open_vectors`, and no model.

    A file is known by its first bytes, as :func:`open_vectors` knows it. A file that is missing or of an unknown kind
    is known by the ending of its name, and a folder by those of its files.

    Raises:
        InvalidInput: the place cannot be read.
    """
    with reading_errors(place):
        if place.is_dir():
            return any(has_ending(file) for file in place.iterdir())
        if has_ending(place) or not place.exists():
            return has_ending(place)
        start = _first_bytes(place)
    opener = _opener(start)
    if opener is open_npz:  # torch writes zip files too
        length = int.from_bytes(start[_ZIP_NAME - 4 : _ZIP_NAME - 2], "little")
        return start[_ZIP_NAME : _ZIP_NAME + length].endswith(b".npy")
    return opener is not None


def _first_bytes(file: Path) -> bytes:
    with open_regular(file) as opened:
        return opened.read(_FIRST_BYTES)


def _opener(start: bytes) -> Callable[[Path], StoredVectors] | None:
    """What reads a file with these first bytes; None if it is no file of vectors."""
    if start[:2] in {b"Ix", b"IB", b"Iw", b"IH", b"IN", b"IP"}:
        return open_faiss
    if start[8:9] == b"{":  # after the length of the header
        return _OPENERS.get(start[:4], open_safetensors)
    return _OPENERS.get(start[:4])
