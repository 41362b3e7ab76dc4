"""``prunnet-bench matrix``: from the file to the printed report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from prunnet_export._console import fail_line, progress_bar
from prunnet_export._cores import usable_cores
from prunnet_export._files import replace_file
from prunnet_export._lock import FolderLock
from prunnet_export._text import shown
from prunnet_export.benchmarks._results import Result, worst_exit_code
from prunnet_export.benchmarks.matrix._cells import Cell, plan_cells
from prunnet_export.benchmarks.matrix._report import counts, matrix_report
from prunnet_export.benchmarks.matrix._settings import LOCAL, read_matrix
from prunnet_export.benchmarks.matrix._state import State, results_folder, tools_of
from prunnet_export.benchmarks.matrix._worker import run_cells
from prunnet_export.reports import print_report, render


@dataclass(frozen=True, kw_only=True)
class MatrixOptions:
    """The options of ``matrix``, as its help describes them."""

    file: Path
    out: Path
    devices: tuple[str, ...]
    allow_skip: bool
    also: tuple[tuple[str, Path], ...]
    restart: bool
    output_format: str


def matrix_command(options: MatrixOptions) -> int:
    """Run a matrix, or go on with one that was killed, and print the report; returns the exit code."""
    matrix = read_matrix(options.file).only(options.devices)
    plan = plan_cells(matrix, options.file, artifacts=options.out / "artifacts", results=results_folder(options.out))
    tools = tools_of(cell.target for cell in plan.cells)
    lock = FolderLock(options.out, options.out / ".lock")
    lock.acquire()
    try:
        names = [cell.name for cell in plan.cells]
        state = State(options.out, plan.settings, names, tools, restart=options.restart)
        _run([cell for cell in plan.cells if cell.name not in state.finished], state, already=len(state.finished))
        file = state.finish()
    finally:
        lock.close()
    run = state.run
    footer = [f"stored: {shown(file)}"]
    for output_format, place in options.also:
        replace_file(place, render(matrix_report(run, footer), output_format).encode())
    print_report(matrix_report(run, footer, every_check=options.output_format != "table"), options.output_format)
    return _exit_code(run.results, allow_skip=options.allow_skip)


def _run(cells: Sequence[Cell], state: State, *, already: int) -> None:
    """Run cells. This machine builds for all others, which would disturb its own measurements: it works alone first."""
    here = [cell for cell in cells if cell.machine == LOCAL]
    machines: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.machine != LOCAL:
            machines.setdefault(cell.machine, []).append(cell)
    with progress_bar("matrix") as show:
        done, total = already, already + len(cells)
        for queues, at_once in (([here], 1), (list(machines.values()), max(2, usable_cores()))):
            with closing(run_cells(queues, at_once=at_once)) as results:
                for result in results:
                    state.record(result)
                    done += 1
                    show(done, total, result.name)


def _exit_code(results: Sequence[Result], *, allow_skip: bool) -> int:
    """The exit code of a run; also prints the error line."""
    bad = [one for one in results if one.exit_code and not (allow_skip and one.status == "skipped")]
    worst = worst_exit_code(one.exit_code for one in bad)
    if worst:
        first = next(one for one in bad if one.exit_code == worst)
        allowed = "--allow-skip accepts that" if first.status == "skipped" else ""
        fail_line(f"{first.name}: {first.message}", "; ".join(filter(None, (first.hint, allowed, counts(results)))))
    return worst
