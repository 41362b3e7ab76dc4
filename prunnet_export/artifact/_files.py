"""The files of an artifact: they are checked strictly, hashed, and never read outside their folder."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular, read_limited, sha256
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export.artifact._manifest import MANIFEST, FileEntry, Manifest
from prunnet_export.artifact._manifest_file import decode_manifest

CARD = "README.md"
REFERENCE_FILE = "verification.npz"  # the images and embeddings of the verification
ALTERNATIVES = "alternatives"  # the folder of the other candidates
_RETRY = "copy or export the artifact again"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact.

    Raises:
        InvalidInput: the folder is not an artifact, or its manifest is damaged or too new; the message says where.
    """
    folder = Path(folder)
    file = folder / MANIFEST
    try:
        with open_regular(file) as opened:
            document = read_limited(opened, file, at_most=SETTINGS_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        kind = "no such folder" if not folder.is_dir() else f"no {MANIFEST} in it"
        hint = "give the folder that prunnet-export wrote"
        raise InvalidInput(f"{folder}: not an artifact ({kind})", hint=hint) from None
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})", hint="check its permissions") from None
    return decode_manifest(document, name=str(file))


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check that every file is in the folder, with the length and the SHA-256 of the manifest.

    Raises:
        InvalidInput: a file is missing or different; the message names it.
    """
    for name, entry in manifest.files.items():
        file = inside(folder, name)
        if file.stat().st_size != entry.bytes:
            raise InvalidInput(f"{file}: {file.stat().st_size} bytes, the manifest says {entry.bytes}", hint=_RETRY)
        if sha256(file) != entry.sha256:
            raise InvalidInput(f"{file}: its SHA-256 is not the manifest's", hint=_RETRY)


def inside(folder: Path, name: str) -> Path:
    """The file ``name`` of an artifact.

    Raises:
        InvalidInput: it is missing or not a regular file, or a link leads out of the folder.
    """
    file, home = (Path(folder) / name).resolve(), Path(folder).resolve()
    if not file.is_relative_to(home):
        raise InvalidInput(f"{Path(folder) / name}: leads out of the artifact", hint="do not use this artifact")
    if not file.is_file():
        raise InvalidInput(f"{Path(folder) / name}: missing", hint=_RETRY)
    return file


def hash_files(folder: Path) -> dict[str, FileEntry]:
    """The entry of every file in the folder except the manifest, sorted by name."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir())
    return {
        name: FileEntry(sha256=sha256(folder / name), bytes=(folder / name).stat().st_size)
        for name in names
        if name != MANIFEST
    }


def chosen_model_files(manifest: Manifest) -> tuple[str, ...]:
    """The files of the chosen model: not the alternatives, the model card and the verification reference."""
    other = {CARD, REFERENCE_FILE}
    return tuple(name for name in manifest.files if name not in other and not name.startswith(f"{ALTERNATIVES}/"))
