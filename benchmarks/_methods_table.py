"""``prunnet-bench methods``: the table of the methods."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path

import msgspec

from prunnet_export._errors import UnknownName
from prunnet_export._numbers import percent
from prunnet_export.benchmarks._methods import Figures, Run, compare
from prunnet_export.benchmarks._methods_cells import mean_and_spread, summary
from prunnet_export.benchmarks._methods_data import with_images
from prunnet_export.benchmarks._methods_match import compare_matching
from prunnet_export.benchmarks._methods_match_table import matching_report
from prunnet_export.benchmarks._methods_runs import training_progress
from prunnet_export.benchmarks._methods_teacher import GalleryTeacher
from prunnet_export.benchmarks.methods import MATCHING, METHODS, Settings
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import warn_of_overlap
from prunnet_export.network import limit_torch_threads
from prunnet_export.reports import Cell, Report, Table, print_report
from prunnet_export.training import MatchOptions, keep_freed_memory

ALL = "all"
_FIGURES = ("self_r1", "cross_r1", "self_map", "cross_map")


@dataclass(frozen=True, kw_only=True)
class MethodsOptions:
    """The options of ``methods``, as its help describes them."""

    settings: Settings
    methods: tuple[str, ...]
    seeds: int
    match: MatchOptions | None
    out: Path
    output_format: str


def methods_table(options: MethodsOptions) -> int:
    """Train the missing runs and print the table."""
    limit_torch_threads()
    settings, known = options.settings, METHODS if options.match is None else MATCHING
    for name in options.methods:
        if name not in {*known, ALL}:
            raise UnknownName("method", name, known)
    settings, images = with_images(settings)
    if options.match is None:
        warn_of_overlap(images)
    keep_freed_memory()
    with training_progress(options.out) as show:
        report = _compare(options, settings, images, show)
    print_report(report, options.output_format)
    return 0


def _compare(
    options: MethodsOptions, settings: Settings, images: RetrievalData, show: Callable[[int, int, str], None]
) -> Report:
    """Train the missing runs; returns the report on all of them."""
    out, seeds = options.out, range(options.seeds)

    def progress(what: str, done: int, steps: int) -> None:
        show(done, steps, what)

    def chosen(known: Iterable[str]) -> list[str]:
        return [name for name in known if {name, ALL} & set(options.methods)]

    if options.match is None:
        runs = compare(settings, images, out, methods=chosen(METHODS), seeds=seeds, progress=progress)
        return methods_report(settings, images.name, out, runs)
    teacher = GalleryTeacher(options.match, settings, images, show)
    settings = msgspec.structs.replace(settings, match=teacher.settings, embedding_dim=teacher.dim)
    matching = compare_matching(
        settings, images, out, teacher=teacher, methods=chosen(MATCHING), seeds=seeds, progress=progress
    )
    return matching_report(settings, images.name, out, matching)


def methods_report(settings: Settings, data: str, folder: Path, runs: Sequence[Run]) -> Report:
    """The report on finished runs: R@1 in %, mean over seeds, with the standard deviation of the cross-test."""
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(run.method, []).append(run)
    capacities = sorted(
        {one.capacity for run in runs for figures in run.rows.values() for one in figures}
        | {1.0, *settings.capacities},
        reverse=True,
    )
    rows: list[tuple[Cell, ...]] = []
    aligned: list[tuple[Cell, ...]] = []
    entries = []
    for method_runs in by_method.values():
        cost = f"{statistics.fmean(run.cost for run in method_runs):.2f}"
        for name in method_runs[0].rows:
            plain, refitted = (
                {c: [one for found in kind for one in found[name] if one.capacity == c] for c in capacities}
                for kind in ([run.rows for run in method_runs], [run.aligned for run in method_runs])
            )
            rows.append((name, len(method_runs), cost, *starmap(_cell, plain.items())))
            aligned.append((name, len(method_runs), cost, *starmap(_cell, refitted.items())))
            summaries = (
                {f"{c:g}": summary(found, _FIGURES) for c, found in kind.items()} for kind in (plain, refitted)
            )
            entries.append({"row": name, **dict(zip(("figures", "aligned"), summaries, strict=True))})
    first = runs[0]
    title = f"{data}: R@1 in %, cross-test (self-test), {first.n_queries} queries, {first.n_gallery} gallery images, "
    title += f"{settings.steps} steps"
    columns = ("method", "seeds", "cost", "dense", *(percent(capacity) for capacity in capacities if capacity < 1))
    return Report(
        title="methods",
        tables=(
            Table(f"{title}, every projector as it was cut or trained", columns, tuple(rows)),
            Table("the same, every projector refitted to the dense network without labels", columns, tuple(aligned)),
        ),
        document={
            "settings": msgspec.to_builtins(settings),
            "data": data,
            "folder": str(folder),
            "rows": entries,
            "runs": [msgspec.to_builtins(run) for run in runs],
        },
        footer=(
            "cost: forward and backward passes, including the dense network's; 1 is to train only the dense network",
            f"runs: {folder}",
        ),
    )


def _cell(capacity: float, figures: Sequence[Figures]) -> str | None:
    """Cross-test (self-test); for the dense network both are equal and shown once; None if there is no figure."""
    if not figures:
        return None
    cell = mean_and_spread([one.cross_r1 for one in figures])
    return cell if capacity == 1 else f"{cell} ({statistics.fmean(100 * one.self_r1 for one in figures):.1f})"
