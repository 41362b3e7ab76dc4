"""How the overlap of neighbours, which needs no labels, and R@1 go together in the runs that are stored.

Run in a checkout: ``python -m prunnet_export.benchmarks.overlap_fit docs/methods [--picture FILE.png]``. A line is
fitted to R@1, as a share of the teacher's own, over the overlap in each gallery. The interval of the overlap at 95 % of
R@1 comes from a bootstrap over the runs, because the capacities of one run are no independent points.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prunnet_export._console import script_errors
from prunnet_export._documents import parse_json
from prunnet_export._files import read_bytes
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export.benchmarks._methods_runs import SETTINGS_FILE
from prunnet_export.benchmarks.plan._runs import read_runs

RECALL = 0.95  # of the teacher's own, which the gate with labels asks for
_RESAMPLES = 1000
_LEAST_RUNS = 3  # two runs say nothing about their spread
_PLANNED = Path(__file__).parent / "plan" / "runs.jsonl"

Points = npt.NDArray[np.float64]
"""float64 [n, 2]: the overlap, and R@1 as a share of the teacher's own."""


@dataclass(frozen=True)
class Fit:
    """The line of one gallery.

    Attributes:
        points: Number of points.
        runs: Number of runs that they are from.
        overlaps: The least and the greatest overlap.
        correlation: Spearman's rank correlation.
        at_recall: The overlap at which the line reaches 95 % of R@1.
        interval: The 95 % interval of that overlap; None if one run alone is there.
        spread: The standard deviation of R@1 around the line.
    """

    points: int
    runs: int
    overlaps: tuple[float, float]
    correlation: float
    at_recall: float
    interval: tuple[float, float] | None
    spread: float


def main() -> None:
    """Print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    found = galleries(arguments.folder)
    print("| gallery | points (runs) | overlap | rank correlation | overlap at 95 % of R@1 | spread of R@1 |")  # noqa: T201
    print("| --- | --- | --- | --- | --- | --- |")  # noqa: T201
    for gallery, runs in found.items():
        one = fit(runs)
        print(  # noqa: T201
            f"| {gallery} | {one.points} ({one.runs}) | {one.overlaps[0]:.2f} to {one.overlaps[1]:.2f} |"
            f" {one.correlation:.2f} | {_reached_text(one)} | {one.spread:.3f} |"
        )
    if arguments.picture is not None:
        draw(found, arguments.picture)


def _reached_text(one: Fit) -> str:
    """The overlap at :data:`RECALL`. Outside of the points a line says nothing."""
    least, most = one.overlaps
    if one.at_recall > most:
        return "not reached"
    if one.at_recall < least:
        return f"below {least:.2f}"
    interval = "" if one.interval is None else f" ({one.interval[0]:.2f} to {one.interval[1]:.2f})"
    return f"{one.at_recall:.2f}{interval}"


def galleries(folder: Path) -> Mapping[str, Sequence[Points]]:
    """The points of each run, by its gallery: those of ``prunnet-bench methods --match`` and those of the plan."""
    found: dict[str, list[Points]] = defaultdict(list)
    names: dict[str, str] = {}  # by teacher: comparisons with the same one have the same gallery
    for settings in sorted(folder.glob(f"*/{SETTINGS_FILE}")):
        match = parse_json(read_bytes(settings, at_most=SETTINGS_BYTES)).get("match")
        if match is None:
            continue
        gallery = names.setdefault(match["sha256"], settings.parent.name)
        for file in sorted(settings.parent.glob("*-[0-9]*.json")):
            run = parse_json(read_bytes(file, at_most=SETTINGS_BYTES))
            cells = [*run["trained"], *run["refitted"]]
            found[gallery].append(np.array([(cell["overlap"], cell["cross_r1"] / run["teacher_r1"]) for cell in cells]))
    for planned in read_runs(_PLANNED):
        for figures in ([cell.longer for cell in planned.cells], [cell.measured for cell in planned.cells]):
            found[f"{planned.data}, teacher {planned.teacher}"].append(
                np.array([(one.overlap, (one.recall or 0) / (planned.self_test or 1)) for one in figures])
            )
    return found


def fit(runs: Sequence[Points]) -> Fit:
    """The line through the points of all runs of a gallery."""
    points = np.concatenate(list(runs))
    slope, offset = np.polyfit(points[:, 0], points[:, 1], 1)
    draw = np.random.default_rng(0)
    drawn = [
        _reached(np.concatenate([runs[index] for index in draw.integers(0, len(runs), len(runs))]))
        for _ in range(_RESAMPLES if len(runs) >= _LEAST_RUNS else 0)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist() if drawn else (0.0, 0.0)
    ranks = [np.argsort(np.argsort(column)) for column in points.T]
    return Fit(
        points=len(points),
        runs=len(runs),
        overlaps=(float(points[:, 0].min()), float(points[:, 0].max())),
        correlation=float(np.asarray(np.corrcoef(ranks)).ravel()[1]),
        at_recall=_reached(points),
        interval=(low, high) if drawn else None,
        spread=float(np.std(points[:, 1] - slope * points[:, 0] - offset, ddof=2)),
    )


def draw(found: Mapping[str, Sequence[Points]], file: Path) -> None:
    """Write a picture of the points of each gallery and the line through them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for gallery, runs in found.items():
        points = np.concatenate(list(runs))
        color = axes.scatter(points[:, 0], points[:, 1], s=8, label=gallery).get_facecolor()
        line = np.poly1d(np.polyfit(points[:, 0], points[:, 1], 1))
        ends = np.array([points[:, 0].min(), points[:, 0].max()])
        axes.plot(ends, line(ends), color=color)
    axes.axhline(RECALL, color="black", linestyle="dotted", label="95 % of R@1")
    axes.set_xlabel("overlap with the teacher's 10 nearest")
    axes.set_ylabel("R@1, as a share of the teacher's own")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(file, dpi=100, metadata={"Description": digest(found)})


def digest(found: Mapping[str, Sequence[Points]]) -> str:
    """A hash of all points. A picture has it, so that one can see whether it is of other points."""
    return sha256(b"".join(np.concatenate(list(runs)).tobytes() for runs in found.values())).hexdigest()


def _reached(points: Points) -> float:
    slope, offset = np.polyfit(points[:, 0], points[:, 1], 1)
    return float((RECALL - offset) / slope)


if __name__ == "__main__":
    with script_errors():
        main()
