"""What a page shows: artifacts, runs of ``prunnet-bench``, and the tables of ``compat`` and ``peers``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from prunnet_export._documents import decode_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export._text import shown
from prunnet_export.artifact import Manifest, read_manifest
from prunnet_export.benchmarks._diff_sides import is_artifact
from prunnet_export.benchmarks._history import run_files
from prunnet_export.benchmarks._results import Result, Run, is_run, read_results

_HINT = "name artifacts, files and folders of results, or the JSON of prunnet-bench compat or prunnet-bench peers"
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Figures(msgspec.Struct, frozen=True):
    """The figures of a search, of which the page needs R@k."""

    recall_at: dict[int, Share]
    n_queries: int


class CompatRow(msgspec.Struct, frozen=True):
    """A row of ``compat``: with tests by labels, or with the overlap with a teacher's neighbours."""

    pattern: str
    asked: Share
    capacity: Share
    judged: str = "label"
    self_test: Figures | None = None
    cross_test: Figures | None = None
    overlap: Share | None = None
    interval: tuple[float, float] | None = None


class Pair(msgspec.Struct, frozen=True):
    """A query capacity in the gallery of another capacity."""

    query: Share
    gallery: Share
    metrics: Figures


class Pairs(msgspec.Struct, frozen=True):
    """All query capacities in all galleries."""

    pattern: str
    cells: list[Pair]


class Compat(msgspec.Struct, frozen=True):
    """The JSON of ``prunnet-bench compat``."""

    data: str
    n_queries: int
    n_gallery: int
    rows: list[CompatRow]
    all_pairs: Pairs | None = None


class PeerOffer(msgspec.Struct, frozen=True):
    """A file that a peer can deploy: its median latency, and its cross-test R@1 by seed."""

    capacity: Share
    precision: str
    p50_ms: Annotated[float, msgspec.Meta(gt=0)]
    r1: Annotated[list[Share], msgspec.Meta(min_length=1)]


class PeersTarget(msgspec.Struct, frozen=True):
    """The peers on one target."""

    target: str
    runtime: str
    runtime_version: str
    peers: dict[str, list[PeerOffer]]


class Peers(msgspec.Struct, frozen=True):
    """The JSON of ``prunnet-bench peers``."""

    data: str
    targets: list[PeersTarget]


@dataclass(frozen=True)
class ShownArtifact:
    """An artifact.

    Attributes:
        name: Name of its folder.
        folder: The folder.
        manifest: Its manifest.
    """

    name: str
    folder: Path
    manifest: Manifest


@dataclass(frozen=True)
class Sources:
    """All that a page shows.

    Attributes:
        artifacts: Artifacts, in the order in which they were named.
        runs: Runs, the oldest first.
        tables: Names and contents of the tables of ``compat``.
        peers: Names and contents of the tables of ``peers``.
    """

    artifacts: tuple[ShownArtifact, ...]
    runs: tuple[Run, ...]
    tables: tuple[tuple[str, Compat], ...]
    peers: tuple[tuple[str, Peers], ...]

    @property
    def newest(self) -> dict[str, Result]:
        """The newest result of each case that could be measured or verified, by the name of the case."""
        return {result.name: result for run in self.runs for result in run.results if result.latency is not None}


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read what the paths name: artifacts, files of runs, folders of runs, and tables of ``compat`` and ``peers``.

    Raises:
        InvalidInput: a path is none of them, or a file is damaged.
    """
    artifacts: list[ShownArtifact] = []
    runs: list[Run] = []
    tables: list[tuple[str, Compat]] = []
    peers: list[tuple[str, Peers]] = []
    for path in paths:
        if is_artifact(path):
            artifacts.append(ShownArtifact(shown(path.absolute().name), path, read_manifest(path)))
        elif path.is_dir():
            runs += map(read_results, run_files(path))
        elif is_run(path):
            runs.append(read_results(path))
        elif isinstance(table := _read_table(path), Peers):
            peers.append((shown(path.name), table))
        else:
            tables.append((shown(path.name), table))
    return Sources(tuple(artifacts), tuple(sorted(runs, key=lambda run: run.created)), tuple(tables), tuple(peers))


def _read_table(file: Path) -> Compat | Peers:
    content = read_bytes(file, at_most=SETTINGS_BYTES)
    with suppress(msgspec.DecodeError):
        return decode_json(content, Peers)
    try:
        return decode_json(content, Compat)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{file}: neither a run nor a table of compat or peers ({error})", hint=_HINT) from None
