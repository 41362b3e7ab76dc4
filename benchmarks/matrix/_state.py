"""The unfinished run of a matrix: a file that is written after every cell, so that a killed run can go on."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from prunnet_export._documents import read_json
from prunnet_export._errors import UsageError
from prunnet_export._files import replace_file, storage_errors
from prunnet_export._imports import installed_versions
from prunnet_export._text import first_of
from prunnet_export.artifact import utc_now
from prunnet_export.benchmarks._results import Result, Run, write_results
from prunnet_export.runtimes import find_runtime
from prunnet_export.target import find_target

_NAME = "unfinished.json"
_TOOLS = ("prunnet-export", "numpy", "onnx", "torch")


class _Unfinished(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document.

    Attributes:
        format: Always ``prunnet-bench-matrix``.
        version: Version of this format.
        file: Name of the file of the finished run.
        settings: Everything that the cells depend on.
        run: The results until now.
    """

    format: Literal["prunnet-bench-matrix"] = "prunnet-bench-matrix"
    version: Literal[1] = 1
    file: Annotated[str, msgspec.Meta(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{8}\.json(?!\n)$")]
    settings: dict[str, Any]
    run: Run


class State:
    """A run of a matrix. It goes on where an earlier one was killed.

    A cell that was skipped is tried again.

    Args:
        out: The folder of the matrix.
        settings: Everything that the cells depend on, as JSON values.
        order: The names of all cells.
        tools: Versions of the installed distributions on the host.
        restart: Whether to drop an unfinished run.

    Raises:
        InvalidInput: the file of the unfinished run is corrupt.
        UsageError: an unfinished run had other settings or versions.
    """

    def __init__(
        self, out: Path, settings: dict[str, Any], order: Sequence[str], tools: dict[str, str], *, restart: bool
    ) -> None:
        self._out, self._file, self._order = out, out / _NAME, list(order)
        if restart:
            self._remove()
        self._document = self._read(settings, tools) or _new(settings, tools)
        self._results = {one.name: one for one in self._document.run.results if one.status != "skipped"}

    @property
    def finished(self) -> dict[str, Result]:
        """The results of the finished cells, by name."""
        return dict(self._results)

    @property
    def run(self) -> Run:
        """The run until now, in the order of the cells."""
        results = [self._results[name] for name in self._order if name in self._results]
        return msgspec.structs.replace(self._document.run, results=results)

    def record(self, result: Result) -> None:
        """Store the result of a cell; raises StorageError if that does not work."""
        # As it will be read again, so that a run that goes on stores the same bytes: 1 becomes 1.0.
        self._results[result.name] = msgspec.json.decode(msgspec.json.encode(result), type=Result)
        document = msgspec.structs.replace(self._document, run=self.run)
        replace_file(self._file, msgspec.json.encode(document) + b"\n")

    def finish(self) -> Path:
        """Store the whole run in the folder of results, and return its file.

        Raises:
            StorageError: the folder cannot be written.
        """
        place = results_folder(self._out) / self._document.file
        write_results(place, self.run)
        self._remove()
        return place

    def _read(self, settings: dict[str, Any], tools: dict[str, str]) -> _Unfinished | None:
        if not self._file.exists():
            return None
        document = read_json(self._file, _Unfinished, hint="--restart drops the unfinished run")
        before, now = (
            dict(_flat({"": some, "versions": versions}))
            for some, versions in ((document.settings, document.run.tools), (settings, tools))
        )
        changed = [
            f"{name}: {before.get(name, 'absent')} before, {now.get(name, 'absent')} now"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise UsageError(
                f"{self._file} is an unfinished run with other settings ({first_of(changed)})",
                hint="change them back to go on with it, or drop it with --restart",
            )
        return document

    def _remove(self) -> None:
        with storage_errors(self._file):
            self._file.unlink(missing_ok=True)


def results_folder(out: Path) -> Path:
    """The folder of the finished runs of a matrix."""
    return out / "results"


def tools_of(targets: Iterable[str]) -> dict[str, str]:
    """Versions of this package, and of the distributions that the runtimes of some targets need."""
    runtimes = {find_target(name).runtime for name in targets}
    return installed_versions(*_TOOLS, *(one for name in sorted(runtimes) for one in find_runtime(name).distributions))


def _new(settings: dict[str, Any], tools: dict[str, str]) -> _Unfinished:
    created = utc_now()
    time = created.replace("-", "").replace(":", "")
    return _Unfinished(
        file=f"{time}-{secrets.token_hex(4)}.json", settings=settings, run=Run(created=created, tools=tools)
    )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The single values of a document, each with its path: ``device.0.label``."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _flat(item, f"{name}.{key}".strip("."))
    else:
        yield name, msgspec.json.encode(value).decode()
