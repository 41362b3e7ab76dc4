"""The steps of a plan, and everything that it found out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from prunnet_export._console import progress_bar
from prunnet_export._errors import InvalidInput
from prunnet_export._files import reading_errors, sha256
from prunnet_export.benchmarks.plan._adapter import AdapterPoint, Student, adapter_curve, values_of
from prunnet_export.benchmarks.plan._bootstrap import Estimate
from prunnet_export.benchmarks.plan._extrapolation import extrapolate
from prunnet_export.benchmarks.plan._options import PlanOptions
from prunnet_export.benchmarks.plan._prediction import Case, Figure, Model, Prediction, fit, rows_of
from prunnet_export.benchmarks.plan._runs import MeasuredRun
from prunnet_export.benchmarks.plan._sample import Sample, take_sample
from prunnet_export.benchmarks.plan._search import Scores
from prunnet_export.benchmarks.plan._teacher import Speed, VectorSource, open_source
from prunnet_export.benchmarks.plan._trial import Trials, run_trials
from prunnet_export.datasets import RetrievalData, open_dataset
from prunnet_export.devices import fingerprint
from prunnet_export.network_config import read_config
from prunnet_export.patterns import check_capacity, find_pattern
from prunnet_export.training import ALONE, Recipe, check_images, choose_device, keep_freed_memory

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Plan:
    """What was found out.

    Attributes:
        options: The options.
        data: The images.
        source: The teacher's vectors.
        sample: The images that were used.
        teacher: The teacher's own figures.
        curve: The linear maps, from few images to all of the sample.
        whole: The linear map's figure on all images, extrapolated: R@1 with labels, else overlap@10.
        trials: The short trainings.
        model: The fit of measured runs; None if there are too few.
        speed: How fast the teacher embeds; None if its vectors exist.
    """

    options: PlanOptions
    data: RetrievalData
    source: VectorSource
    sample: Sample
    teacher: Scores
    curve: Sequence[AdapterPoint]
    whole: Estimate
    trials: Trials
    model: Model | None
    speed: Speed | None

    @property
    def figure(self) -> Figure:
        """The figure that the gate is about."""
        return "overlap" if self.sample.search.relevance is None else "recall"

    @property
    def divisor(self) -> float:
        """The teacher's own figure; 1 for overlaps, which are shares already."""
        return float(self.teacher.main.mean()) if self.figure == "recall" else 1.0

    @property
    def gate(self) -> float:
        """The least share that the user accepts."""
        return self.options.min_recall if self.figure == "recall" else self.options.min_overlap

    def predictions(self) -> dict[float, Prediction]:
        """The share after the whole training, by capacity; empty if there is nothing to predict from."""
        if self.model is None:
            return {}
        found = {}
        for capacity, scores in self.trials.longer.scores.items():
            case = Case(
                shorter=float(self.trials.shorter.scores[capacity].main.mean()) / self.divisor,
                longer=float(scores.main.mean()) / self.divisor,
                shorter_steps=self.trials.shorter.steps,
                longer_steps=self.trials.longer.steps,
                steps=self.sample.steps,
                own=self.divisor,
            )
            found[capacity] = self.model.predict(case)
        return found

    @property
    def trials_too_short(self) -> bool:
        """Whether the trials are shorter, beside the training, than those of the measured runs."""
        return any(one.widened for one in self.predictions().values())


def make_plan(options: PlanOptions, runs: Sequence[MeasuredRun]) -> Plan:
    """Take a sample, fit linear maps, train for some minutes, and predict.

    Raises:
        Unreachable: the processor is emulated, and the hours cannot be measured.
        InvalidInput: the images, the teacher or the weights cannot be read or do not fit together.
        UnknownName: there is no such backbone, pattern or architecture.
        UnsupportedPattern: the network cannot be cut like this.
    """
    fingerprint().require_real()
    recipe, data = _checked(options)
    device = choose_device(options.device, ALONE)
    keep_freed_memory()
    with progress_bar("embedding with the teacher") as show:
        source = open_source(options.match, recipe, weights=options.weights, workers=options.workers, progress=show)
        sample = take_sample(recipe, data, source, options.match, images=options.images)
    teacher = sample.search.teacher()
    if sample.search.relevance is not None and not teacher.main.any():
        raise InvalidInput(
            f"{source.name} finds no image in its own gallery", hint="check the teacher's preprocessing, or the names"
        )
    speed = source.speed(data.train)
    _LOG.info("features of %d images by the student", len(sample.split) + len(sample.search.images))
    student = Student(sample.recipe, options.weights, sample.split)
    curve = adapter_curve(sample, student.features(sample.split), student.features(sample.search.images))
    whole = extrapolate([point.images for point in curve], values_of(curve), sample.whole)
    with progress_bar("trials") as show:
        trials = run_trials(
            sample,
            data,
            weights=options.weights,
            minutes=options.trial_minutes,
            device=device,
            workers=options.workers,
            progress=show,
        )
    figure: Figure = "overlap" if sample.search.relevance is None else "recall"
    model = fit(rows_of(runs, figure))
    return Plan(options, data, source, sample, teacher, curve, whole, trials, model, speed)


def _checked(options: PlanOptions) -> tuple[Recipe, RetrievalData]:
    """The recipe with the hash of its weights, and the images. What is wrong is refused before slow work begins."""
    recipe = options.recipe
    if options.weights is not None:
        with reading_errors(options.weights):
            recipe = msgspec.structs.replace(recipe, weights_sha256=sha256(options.weights))
    if options.network is not None and read_config(options.network).teacher is None:
        raise InvalidInput(
            f"{options.network} was trained without a teacher", hint="give a run of prunnet-train --match"
        )
    for capacity in recipe.capacities:
        check_capacity(capacity)
    for pattern in recipe.patterns:
        find_pattern(pattern)
    data = open_dataset(recipe.data.place, layout=recipe.data.layout, seed=recipe.data.seed)
    check_images(data, recipe, label_weight=options.match.label_weight)
    return recipe, data
