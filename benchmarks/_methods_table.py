"""What ``prunnet-bench methods`` prints."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from prunnet_export._console import progress_bar
from prunnet_export._errors import Interrupted, InvalidInput, UnknownName
from prunnet_export.benchmarks._methods import Figures, Run, compare
from prunnet_export.benchmarks.methods import METHODS, Settings
from prunnet_export.datasets import open_dataset
from prunnet_export.network_config import DataSource
from prunnet_export.patterns import check_capacity
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.reports import Cell, Report, Table, render
from prunnet_export.training._allocator import keep_freed_memory

ALL = "all"
ByCapacity = Mapping[float, Sequence[Figures]]
_FIGURES = ("self_r1", "cross_r1", "self_map", "cross_map")


def methods_table(
    *,
    data: str,
    layout: str | None,
    methods: Sequence[str],
    seeds: int,
    out: Path | None,
    crop_px: int,
    resize_px: int | None,
    output_format: str,
    **options: Any,
) -> int:
    """Train what is missing and print the table."""
    del options["debug"]
    for name in methods:
        if name not in {*METHODS, ALL}:
            raise UnknownName("method", name, METHODS)
    for capacity in (*options["capacities"], *options["train_capacities"]):
        check_capacity(capacity)
    source = DataSource(source=data, layout=layout)
    options["capacities"] = tuple(sorted({one for one in options["capacities"] if one < 1}, reverse=True))
    settings = Settings(
        data=source, preprocessing=Preprocessing(crop=crop_px, resize=resize_px or round(crop_px * 8 / 7)), **options
    )
    images = open_dataset(source.source, layout=source.layout, seed=source.seed)
    if len(images.train) == 0:
        raise InvalidInput(f"{images.name} has no train images", hint="it is for tests alone; give another --data")
    keep_freed_memory()
    folder = out or Path("runs") / "methods" / Path(data).resolve().name
    with progress_bar("training") as bar:
        task = None if bar is None else bar.add_task("", total=None, text="")

        def show(what: str, done: int, steps: int) -> None:
            if bar is not None and task is not None:
                bar.update(task, completed=done, total=steps, text=what)

        try:
            runs = compare(
                settings,
                images,
                folder,
                methods=[name for name in METHODS if {name, ALL} & set(methods)],
                seeds=range(seeds),
                progress=show,
            )
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; every finished run is in {folder}", hint="repeat the same command"
            ) from None
    click.echo(render(methods_report(settings, images.name, folder, runs), output_format), nl=False)
    return 0


def methods_report(settings: Settings, data: str, folder: Path, runs: Sequence[Run]) -> Report:
    """The table of finished runs: R@1 in %, mean over seeds, and of the cross-test the sample standard deviation."""
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
    for of_method in by_method.values():
        cost = f"{statistics.fmean(run.cost for run in of_method):.2f}"
        for name in of_method[0].rows:
            plain, refitted = (
                {c: [one for found in kind for one in found[name] if one.capacity == c] for c in capacities}
                for kind in ([run.rows for run in of_method], [run.aligned for run in of_method])
            )
            rows.append((name, len(of_method), cost, *_cells(plain)))
            aligned.append((name, len(of_method), cost, *_cells(refitted)))
            entries.append({"row": name, "figures": _summaries(plain), "aligned": _summaries(refitted)})
    first = runs[0]
    title = f"{data}: R@1 in %, cross-test (self-test), {first.n_queries} queries, {first.n_gallery} gallery images, "
    title += f"{settings.steps} steps"
    columns = ("method", "seeds", "cost", "dense", *(f"{capacity:.0%}" for capacity in capacities if capacity < 1))
    return Report(
        title="methods",
        tables=(
            Table(f"{title}, every projector as it was cut or trained", columns, tuple(rows)),
            Table("the same, every projector refitted to the dense network without labels", columns, tuple(aligned)),
        ),
        checks=(),
        document={
            "settings": msgspec.to_builtins(settings),
            "data": data,
            "folder": str(folder),
            "rows": entries,
            "runs": [msgspec.to_builtins(run) for run in runs],
        },
        footer=(
            "cost: forward and backward passes, training the dense network alone being 1; it is counted in",
            f"runs: {folder}",
        ),
    )


def _values(figures: Sequence[Figures], name: str) -> list[float]:
    return [getattr(one, name) for one in figures]


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _summaries(by_capacity: ByCapacity) -> dict[str, Any]:
    return {f"{capacity:g}": _summary(found) if found else None for capacity, found in by_capacity.items()}


def _summary(figures: Sequence[Figures]) -> dict[str, Any]:
    of_each = {name: _values(figures, name) for name in _FIGURES}
    return {
        name: {"mean": statistics.fmean(values), "spread": _spread(values), "values": values}
        for name, values in of_each.items()
    }


def _cells(by_capacity: ByCapacity) -> list[str | None]:
    """Cross-test (self-test); the dense network, whose two are one, has it alone; None where there is nothing."""
    cells: list[str | None] = []
    for capacity, found in by_capacity.items():
        if not found:
            cells.append(None)
            continue
        own, cross = ([100 * value for value in _values(found, name)] for name in ("self_r1", "cross_r1"))
        spread = _spread(cross)
        cell = f"{statistics.fmean(cross):.1f}" + ("" if spread is None else f" ± {spread:.1f}")
        cells.append(cell if capacity == 1 else f"{cell} ({statistics.fmean(own):.1f})")
    return cells
