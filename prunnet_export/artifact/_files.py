"""The files of an artifact: they are checked strictly, hashed, and never read outside their folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_limited, sha256
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export.artifact._folder import OpenFolder, take
from prunnet_export.artifact._manifest import MANIFEST, FileEntry, Manifest
from prunnet_export.artifact._manifest_file import decode_manifest

CARD = "README.md"
REFERENCE_FILE = "verification.npz"  # the images and embeddings of the verification
ATTRIBUTES = ".gitattributes"
KEEP_LINE_ENDS = b"# Git must not change line ends here, because the manifest has the hash of every file.\n* -text\n"
"""The contents of the file that git reads. It is no part of the artifact: copies may be without hidden files."""

ALTERNATIVES = "alternatives"  # the folder of the other candidates
_RETRY = "copy or export the artifact again"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact.

    Raises:
        InvalidInput: the folder is not an artifact, or its manifest is damaged or too new; the message says where.
    """
    folder = Path(folder)
    with reading_artifact(folder):
        document = take(folder, read_document)
    return decode_manifest(document, name=str(folder / MANIFEST))


def read_document(opened: OpenFolder) -> bytes:
    """The contents of the manifest in an opened folder.

    Raises:
        InvalidInput: it is too large.
        OSError: it cannot be read.
    """
    with opened.open(MANIFEST) as file:
        return read_limited(file, opened.path / MANIFEST, at_most=SETTINGS_BYTES)


@contextmanager
def reading_artifact(folder: Path) -> Iterator[None]:
    """Turn an operating-system error while a folder and its manifest are read into an InvalidInput."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        kind = "no such folder" if not folder.is_dir() else f"no {MANIFEST} in it"
        hint = "give the folder that prunnet-export wrote"
        raise InvalidInput(f"{folder}: not an artifact ({kind})", hint=hint) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInput(f"{folder / MANIFEST}: cannot be read ({reason})", hint="check its permissions") from None


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check that every file is in the folder, with the length and the SHA-256 of the manifest.

    Raises:
        InvalidInput: a file is missing or different; the message names it.
    """
    for name, entry in manifest.files.items():
        file = inside(folder, name)
        check_bytes(file, file.stat().st_size, entry)
        check_hash(file, sha256(file), entry)


def check_bytes(file: Path, size: int, entry: FileEntry) -> None:
    """Raise InvalidInput if a file's length is not the manifest's."""
    if size != entry.bytes:
        raise InvalidInput(f"{file}: {size} bytes, the manifest says {entry.bytes}", hint=_RETRY)


def check_hash(file: Path, digest: str, entry: FileEntry) -> None:
    """Raise InvalidInput if a file's SHA-256 is not the manifest's."""
    if digest != entry.sha256:
        raise InvalidInput(f"{file}: its SHA-256 is not the manifest's", hint=_RETRY)


def missing(file: Path) -> InvalidInput:
    """The error of a file that the manifest names and that is not there."""
    return InvalidInput(f"{file}: missing", hint=_RETRY)


def inside(folder: Path, name: str) -> Path:
    """The file ``name`` of an artifact.

    Raises:
        InvalidInput: it is missing or not a regular file, or a link leads out of the folder.
    """
    # Not Path.resolve(): before Python 3.13 it raises RuntimeError if links lead in a circle.
    file, home = (Path(os.path.realpath(place)) for place in (Path(folder) / name, folder))
    if not file.is_relative_to(home):
        raise InvalidInput(f"{Path(folder) / name}: leads out of the artifact", hint="do not use this artifact")
    if not file.is_file():
        raise missing(Path(folder) / name)
    return file


def hash_files(folder: Path) -> dict[str, FileEntry]:
    """The entry of every file in the folder except the manifest and the file for git, sorted by name."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir())
    return {
        name: FileEntry(sha256=sha256(folder / name), bytes=(folder / name).stat().st_size)
        for name in names
        if name not in {MANIFEST, ATTRIBUTES}
    }


def chosen_model_files(manifest: Manifest) -> tuple[str, ...]:
    """The files of the chosen model: not the alternatives, the card, the verification reference and the golden pair."""
    other = {CARD, REFERENCE_FILE}
    if (golden := manifest.golden) is not None:
        other |= {golden.image, golden.pixels, golden.output}
    return tuple(name for name in manifest.files if name not in other and not name.startswith(f"{ALTERNATIVES}/"))
