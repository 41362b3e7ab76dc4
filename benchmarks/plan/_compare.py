"""A plan beside the network that was then trained: was it right?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export._numbers import percent
from prunnet_export._text import shown
from prunnet_export.benchmarks.plan._adapter import AdapterPoint, Student, adapter_curve
from prunnet_export.benchmarks.plan._bootstrap import Estimate
from prunnet_export.benchmarks.plan._capacities import scores_by_capacity
from prunnet_export.benchmarks.plan._extrapolation import extrapolate
from prunnet_export.benchmarks.plan._plan import Plan
from prunnet_export.benchmarks.plan._prediction import FIGURES
from prunnet_export.benchmarks.plan._runs import Figures, MeasuredRun, RunCell
from prunnet_export.benchmarks.plan._sample import Sample, take_sample
from prunnet_export.benchmarks.plan._search import Scores
from prunnet_export.network import Checkpoint, load_checkpoint
from prunnet_export.network_config import TEACHER_FILE
from prunnet_export.reports import Table
from prunnet_export.teachers import load_sample


def measure(plan: Plan, folder: Path) -> MeasuredRun:
    """The figures of a trained network by the plan's queries and gallery, and of a linear map of all images.

    Raises:
        InvalidInput: the network is not the one that was planned.
    """
    checkpoint = load_checkpoint(folder)
    _check(plan, checkpoint, folder)
    recipe, sample = plan.sample.recipe, plan.sample
    measured = scores_by_capacity(
        checkpoint.network.eval(),
        plan.data.train,
        load_sample(folder / TEACHER_FILE),
        sample.search,
        recipe.preprocessing,
        pattern=recipe.patterns[0],
        channel_multiple=recipe.channel_multiple,
    )
    last = _adapter_of_all(plan)
    return MeasuredRun(
        teacher=plan.source.name,
        data=shown(Path(recipe.data.place).resolve().name),  # no path of this machine
        backbone=recipe.backbone,
        weights=plan.options.weights is not None,
        crop_px=recipe.preprocessing.crop,
        images=sample.whole,
        sampled=len(sample.split),
        steps=sample.steps,
        batch_size=recipe.batch_size,
        shorter_steps=plan.trials.shorter.steps,
        longer_steps=plan.trials.longer.steps,
        n_queries=len(sample.search.queries),
        n_gallery=len(sample.search.gallery),
        self_test=None if plan.teacher.hits is None else float(plan.teacher.hits.mean()),
        adapter=_extrapolated(plan),
        adapter_measured=_figures(last.scores),
        cells=[
            RunCell(
                capacity=capacity,
                shorter=_figures(plan.trials.shorter.scores[capacity]),
                longer=_figures(plan.trials.longer.scores[capacity]),
                measured=_figures(scores),
            )
            for capacity, scores in measured.items()
            if capacity in plan.trials.longer.scores
        ],
    )


def comparison_table(plan: Plan, run: MeasuredRun) -> Table:
    """Predicted and measured figures of each capacity."""
    predicted, rows = plan.predictions(), []
    for cell in run.cells:
        measured = cell.measured.recall if plan.figure == "recall" else cell.measured.overlap
        one = predicted.get(cell.capacity)
        foreseen = None if one is None else one.value * plan.divisor
        rows.append(
            (
                percent(cell.capacity),
                None if foreseen is None else f"{foreseen:.1%}",
                None if measured is None else f"{measured:.1%}",
                None if foreseen is None or measured is None else f"{100 * (foreseen - measured):+.1f}",
            )
        )
    name = FIGURES[plan.figure]
    columns = ("capacity", f"{name} predicted", f"{name} measured", "points off")
    return Table(f"the trained network, n {run.n_queries} queries", columns, tuple(rows))


def _adapter_of_all(plan: Plan) -> AdapterPoint:
    """The linear map that was fitted to all images; slow, because both models embed all of them."""
    sample = plan.sample
    if len(sample.split) < sample.known:
        every = take_sample(sample.recipe, plan.data, plan.source, plan.options.match, images=sample.known)
        sample = Sample(
            every.recipe, every.split, every.vectors, every.match, plan.sample.search, every.whole, every.known
        )
    student = Student(sample.recipe, plan.options.weights, plan.sample.split)
    return adapter_curve(sample, student.features(sample.split), student.features(sample.search.images))[-1]


def _extrapolated(plan: Plan) -> Figures:
    """Both figures of the linear map, extrapolated to all images."""
    sizes = [point.images for point in plan.curve]

    def at_whole(columns: list[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> Estimate:
        return extrapolate(sizes, np.stack(columns, axis=1), plan.sample.whole)

    hits = [point.scores.hits for point in plan.curve if point.scores.hits is not None]
    overlaps = [point.scores.overlaps for point in plan.curve]
    return Figures(recall=at_whole(hits).value if hits else None, overlap=at_whole(overlaps).value)


def _figures(scores: Scores) -> Figures:
    recall = None if scores.hits is None else float(scores.hits.mean())
    return Figures(recall=recall, overlap=float(scores.overlaps.mean()))


def _order(*, ranks: bool) -> str:
    return "by rank" if ranks else "uniform"


def _check(plan: Plan, checkpoint: Checkpoint, folder: Path) -> None:
    """Refuse a network that another recipe or teacher made."""
    config, recipe = checkpoint.config, plan.sample.recipe
    pairs = {
        "teacher": (None if config.teacher is None else config.teacher.sha256, plan.source.sha256),
        "backbone": (config.backbone, recipe.backbone),
        "backbone options": (config.backbone_options, recipe.backbone_options),
        "preprocessing": (config.preprocessing, recipe.preprocessing),
        "steps": (config.training.get("steps"), plan.sample.steps),
        "batch size": (config.training.get("batch_size"), recipe.batch_size),
        "weights": (config.training.get("weights_sha256"), recipe.weights_sha256),
        # Networks of older versions have uniform widths.
        "order of channels": (_order(ranks=bool(checkpoint.network.unit_ranks())), _order(ranks=recipe.cuts_channels)),
    }
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InvalidInput(
                f"{folder} was not trained as planned: its {name} is {theirs}, not {ours}",
                hint="repeat the options of the training; train a network of an older version again",
            )
