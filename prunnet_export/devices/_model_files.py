"""The files of a model that are copied to a board. Links never lead out of the model's folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular, read_bytes, read_limited, reading_errors
from prunnet_export._limits import MODEL_BYTES

_PACKAGE = ".mlpackage"  # a folder that is one model


@dataclass(frozen=True)
class ModelFiles:
    """The contents of a model's files by their names, and the name of the file that the engine opens."""

    entry: str
    contents: Mapping[str, bytes]


def read_model(model: Path, listed: Sequence[Path]) -> ModelFiles:
    """Read the files of a model.

    Args:
        model: The file that the engine opens.
        listed: All files of the model. If it is empty, they are the file itself and the regular files beside it with
            its stem, e.g. ``model.xml`` and ``model.bin``. A package or a folder is read whole, without links.

    Raises:
        InvalidInput: a file cannot be read, is not a regular file, or is a link that leads out of the model's folder.
    """
    root = _model_root(model)
    base = Path(os.path.commonpath([root.parent, *(file.parent for file in listed)]))
    if listed:
        contents = {file: _read_inside(file, base) for file in sorted({model, *listed})}
    else:
        contents = {
            file: read_bytes(file, at_most=MODEL_BYTES) if file == model else _read_regular(file)
            for file in _beside(root)
        }
    names = {file.relative_to(base).as_posix(): content for file, content in contents.items()}
    return ModelFiles(model.relative_to(base).as_posix(), names)


def _model_root(model: Path) -> Path:
    """The file of a model, or the package folder that the file is in."""
    return next((parent for parent in model.parents if parent.suffix == _PACKAGE), model)


def _beside(root: Path) -> list[Path]:
    """The files of a model whose files are not listed. Other files beside it are not its own: it may be in a home."""
    if root.is_dir():
        return sorted(_walk(root))
    if not root.exists():
        return [root]  # reading it raises the error
    siblings = (file for file in root.parent.iterdir() if file.name.startswith(f"{root.stem}.") and _is_regular(file))
    return sorted({root, *siblings})


def _walk(folder: Path) -> Iterator[Path]:
    """The regular files in a folder and its subfolders. Links are not followed."""
    for home, _, names in os.walk(folder):
        yield from (file for file in (Path(home, name) for name in names) if _is_regular(file))


def _is_regular(file: Path) -> bool:
    return stat.S_ISREG(file.lstat().st_mode)


def _read_inside(file: Path, base: Path) -> bytes:
    """The contents of a regular file in ``base``. A link to another file in ``base`` is followed."""
    with reading_errors(file):
        place = Path(os.path.realpath(file, strict=True))  # Path.resolve() raises no OSError if links lead in a circle
    if not place.is_relative_to(base.resolve()):
        raise InvalidInput(f"{file}: leads out of the model's folder", hint="do not use this model")
    return _read_regular(place)


def _read_regular(file: Path) -> bytes:
    with reading_errors(file), open_regular(file, follow_links=False) as opened:
        return read_limited(opened, file, at_most=MODEL_BYTES)
