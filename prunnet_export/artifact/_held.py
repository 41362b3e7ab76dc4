"""An artifact that is held still: a private copy, for work that takes longer than another process may let it stand."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._files import remove_folder, storage_errors
from prunnet_export._temporary import TemporaryFolder
from prunnet_export.artifact._files import check_bytes, check_hash, inside, missing, read_document, reading_artifact
from prunnet_export.artifact._folder import OpenFolder, take
from prunnet_export.artifact._manifest import MANIFEST, FileEntry, Manifest
from prunnet_export.artifact._manifest_file import decode_manifest

_BLOCK = 2**20


@dataclass(frozen=True)
class HeldArtifact:
    """A private copy of an artifact. All its files are from one export.

    Attributes:
        folder: The copy.
        manifest: Its manifest.
        origin: The artifact's own folder.
        document: The manifest as it was read.
    """

    folder: Path
    manifest: Manifest
    origin: Path
    document: bytes

    def replaced(self) -> bool:
        """Whether another artifact, or none, is in the artifact's own folder now."""
        try:
            return take(self.origin, read_document) != self.document
        except (OSError, InvalidInput):
            return True


@contextmanager
def held(
    folder: Path,
    *,
    check_hashes: bool = True,
    needed: Callable[[Manifest], Collection[str]] = lambda manifest: manifest.files,
) -> Iterator[HeldArtifact]:
    """Hold an artifact until the end of the block. Files become hard links where that is possible, else copies.

    Args:
        folder: The artifact.
        check_hashes: Whether to compare every file with the manifest.
        needed: The names of the files that the copy has to have.

    Raises:
        InvalidInput: the folder is not an artifact, or the artifact is damaged.
        StorageError: there is no place for temporary files.
    """
    try:
        temporary = TemporaryFolder("held")
    except OSError as error:
        reason = f"there is no place for temporary files ({error.strerror or error})"
        raise StorageError(reason, hint="name a folder for them in TMPDIR") from None
    with temporary as home:
        # With the artifact's name at the end, because errors may show the path.
        place = home / (folder.resolve().name or "artifact")
        with reading_artifact(folder):
            kept = take(folder, lambda opened: _copy(opened, place, check_hashes=check_hashes, needed=needed))
        yield kept


def _copy(
    opened: OpenFolder, place: Path, *, check_hashes: bool, needed: Callable[[Manifest], Collection[str]]
) -> HeldArtifact:
    """Copy an opened artifact to a place, which an earlier attempt may have begun to fill."""
    remove_folder(place)
    document = read_document(opened)
    manifest = decode_manifest(document, name=str(opened.path / MANIFEST))
    wanted = set(needed(manifest))
    with storage_errors(place):
        place.mkdir()
        (place / MANIFEST).write_bytes(document)
    for name, entry in manifest.files.items():
        if check_hashes or name in wanted:
            _copy_file(opened, name, entry if check_hashes else None, place / name if name in wanted else None)
    return HeldArtifact(place, manifest, opened.path, document)


def _copy_file(opened: OpenFolder, name: str, entry: FileEntry | None, copy: Path | None) -> None:
    """Compare a file of an artifact with its entry, if one is given, and copy it, if a place is given."""
    real, source = _opened(opened, name)
    with source, nullcontext() if copy is None else storage_errors(copy):
        linked = copy is not None and _linked(opened, real, copy, source)
        if entry is not None:
            check_bytes(opened.path / name, os.fstat(source.fileno()).st_size, entry)
        elif linked:
            return
        digest = hashlib.sha256()
        with nullcontext() if copy is None or linked else copy.open("xb") as written:
            while block := source.read(_BLOCK):
                digest.update(block)
                if written is not None:
                    written.write(block)
    if entry is not None:
        check_hash(opened.path / name, digest.hexdigest(), entry)


def _opened(opened: OpenFolder, name: str) -> tuple[str, BinaryIO]:
    """A file of an artifact and its name, after links within the folder. What they lead to is opened without links."""
    file = opened.path / name
    try:
        real = inside(opened.path, name).relative_to(opened.path.resolve()).as_posix()
        return real, opened.open(real)
    except (FileNotFoundError, ValueError):  # ValueError: the path to the folder leads elsewhere since a moment ago
        raise missing(file) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInput(f"{file}: cannot be read ({reason})", hint="check its permissions") from None


def _linked(opened: OpenFolder, name: str, copy: Path, source: BinaryIO) -> bool:
    copy.parent.mkdir(parents=True, exist_ok=True)
    return opened.link(name, copy, source)
