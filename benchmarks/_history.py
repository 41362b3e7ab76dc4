"""A folder of results: a file for each run of ``prunnet-bench``, never replaced."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._files import reading_errors, storage_errors
from prunnet_export._imports import installed_versions
from prunnet_export.artifact import utc_now
from prunnet_export.benchmarks._results import Result, Run, write_results
from prunnet_export.runtimes import find_runtime

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}\.json")
_TOOLS = ("prunnet-export", "numpy", "onnx")


def make_results_folder(folder: Path) -> None:
    """Make the folder of results before anything is measured; raises StorageError if it cannot be made."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


def append_run(folder: Path, results: Sequence[Result], *, created: str | None = None) -> Path:
    """Store a run as a new file of a folder of results, and return the file.

    Args:
        folder: The folder. It is made if it does not exist.
        results: The results of the run.
        created: Time of its start, as :func:`utc_now` writes it; None means now.

    Raises:
        StorageError: the folder cannot be written.
    """
    engines = {result.latency.runtime for result in results if result.latency is not None}
    tools = installed_versions(*_TOOLS, *(one for name in sorted(engines) for one in find_runtime(name).distributions))
    run = Run(created=created or utc_now(), tools=tools, results=list(results))
    time = run.created.replace("-", "").replace(":", "")
    while (file := folder / f"{time}-{secrets.token_hex(4)}.json").exists():
        pass
    write_results(file, run)
    return file


def run_files(folder: Path) -> list[Path]:
    """The files of the runs in a folder of results, the oldest first.

    Raises:
        InvalidInput: it cannot be read, or holds no run.
    """
    with reading_errors(folder):
        files = sorted(file for file in folder.iterdir() if _NAME.fullmatch(file.name))
    if not files:
        raise InvalidInput(f"{folder} holds no run", hint="prunnet-bench check ARTIFACT --results FOLDER stores one")
    return files
