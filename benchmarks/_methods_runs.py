"""The folder of a comparison: one file for each finished run, and one for the settings of all of them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from prunnet_export._console import progress_bar
from prunnet_export._documents import read_json
from prunnet_export._errors import Interrupted, InvalidInput
from prunnet_export._files import replace_file
from prunnet_export._imports import installed_versions
from prunnet_export.benchmarks.methods import Settings

SETTINGS_FILE = "settings.json"
T = TypeVar("T")
_TOOLS = ("prunnet-export", "torch", "timm", "torch-pruning", "torchjd")


@contextmanager
def training_progress(folder: Path) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar; it is called with the finished steps, all steps and the name of a run.

    Raises:
        Interrupted: Ctrl-C was pressed in the block. The message names the folder of the finished runs.
    """
    with progress_bar("training") as show:
        try:
            yield show
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; every finished run is in {folder}", hint="repeat the same command"
            ) from None


def store_settings(folder: Path, settings: Settings, methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Write the settings into a new folder, or compare them with those in the folder.

    Args:
        folder: The folder.
        settings: The settings.
        methods: The methods of the runs that are wanted. Runs that do not exist will be trained.
        seeds: Their seeds.

    Raises:
        InvalidInput: the folder has other settings, a corrupt file of them, or runs without settings. Or a run is
            missing, and those of the folder are of other widths.
        StorageError: the folder cannot be written.
    """
    file = folder / SETTINGS_FILE
    if not file.exists():
        strays = sorted(folder.glob("*-[0-9]*"))
        if strays:
            raise InvalidInput(
                f"{strays[0]} exists, but its settings file {SETTINGS_FILE} does not", hint="choose another --out"
            )
        _write(file, settings)
    stored = _read(file, Settings, hint="choose another --out; the settings of these runs are unknown")
    runs = (run_file(folder, method, seed) for method in methods for seed in seeds)
    missing = next((run for run in runs if not run.exists()), None)
    if missing is not None and stored.widths != settings.widths:
        raise InvalidInput(
            f"{missing} is missing. The runs of this folder have the widths {stored.widths!r}; "
            f"new ones get {settings.widths!r}",
            hint="choose another --out",
        )
    difference = settings.difference(msgspec.structs.replace(stored, widths=settings.widths))
    if difference is not None:
        raise InvalidInput(
            f"the runs in {folder} have {difference}",
            hint="repeat the options that they were started with, or choose another --out",
        )


def run_file(folder: Path, method: str, seed: int) -> Path:
    """The file of a finished run."""
    return folder / f"{method}-{seed}.json"


def write_run(file: Path, run: msgspec.Struct) -> None:
    """Store a finished run.

    Raises:
        StorageError: the folder cannot be written.
    """
    _write(file, run)


def read_run(file: Path, kind: type[T]) -> T:
    """A finished run.

    Raises:
        InvalidInput: the file is corrupt.
    """
    return _read(file, kind, hint="remove the file, and the run is repeated")


def tool_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a run depends on."""
    return {"python": platform.python_version(), **installed_versions(*_TOOLS)}


def _write(file: Path, content: msgspec.Struct) -> None:
    replace_file(file, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def _read(file: Path, kind: type[T], *, hint: str) -> T:
    return read_json(file, kind, hint=hint)
