"""Running an export from the options of ``prunnet-export``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from prunnet_export._cache_folder import cache_folder
from prunnet_export._console import fail_line
from prunnet_export._errors import GateFailed, UsageError
from prunnet_export._imports import require
from prunnet_export.budget import Budget
from prunnet_export.cli._context import NetworkChoice, choose_network, choose_patterns, choose_precisions, open_data
from prunnet_export.cli._options import parse_percentile
from prunnet_export.cli._place import Place, choose_place, predictor_for
from prunnet_export.devices import layer_times
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.preprocessing import Size
from prunnet_export.query import PHOTO_PX, Query, Scope
from prunnet_export.reports import print_report
from prunnet_export.runtimes import Model, find_runtime
from prunnet_export.target import Target, find_target
from prunnet_export.thresholds import Thresholds

if TYPE_CHECKING:
    from prunnet_export.artifact import QueryImages
    from prunnet_export.building import Builder
    from prunnet_export.evaluating import Evidence
    from prunnet_export.prediction import Predictor
    from prunnet_export.search import Export, Outcome
    from prunnet_export.vectors import Metric

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of ``prunnet-export``, as its help describes them."""

    target: str | None
    budget_ms: float | None
    budget_mb: float | None
    budget_ram_mb: float | None
    at: str
    scope: Scope
    photo_px: Size | None
    batch_size: int
    network: Path | None
    pattern: str
    precision: str
    select: Literal["capacity", "accuracy"]
    device: str
    require_measured: bool
    calibration: tuple[Path, ...]
    threads: int | None
    data: str | None
    layout: str | None
    gallery: Path | GalleryAddress | None
    metric: Metric | None
    teacher_threshold: float | None
    max_queries: int
    max_gallery: int
    query_images: QueryImages
    min_recall: float
    min_parity: float | None
    min_overlap: float
    channel_multiple: int | None
    out: Path | None
    dry_run: bool
    output_format: str

    @property
    def budget(self) -> Budget:
        """The budget.

        Raises:
            UsageError: no limit is given.
            InvalidInput: a limit, the percentile or the size of the photograph is out of range.
        """
        limits = (self.budget_ms, self.budget_mb, self.budget_ram_mb)
        return Budget(*limits, parse_percentile(self.at), self.query)

    @property
    def query(self) -> Query:
        """What one query is.

        Raises:
            UsageError: the network alone gets no photograph.
            InvalidInput: the size of the photograph is out of range.
        """
        photo = self.photo_px
        if self.scope == "compute" and photo is not None:
            raise UsageError("--photo-px is for a latency that begins with a photograph", hint="add --scope end-to-end")
        if self.scope == "end-to-end" and photo is None:
            photo = PHOTO_PX
        return Query(scope=self.scope, batch_size=self.batch_size, photo_px=photo)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds of the gates."""
        return Thresholds(parity=self.min_parity, recall=self.min_recall, overlap=self.min_overlap)


def export(options: ExportOptions) -> int:
    """Run one export and print its report; returns the exit code."""
    job, chosen = _prepared(options)

    from prunnet_export.cli._export_report import dry_run_report, export_report

    if options.dry_run:
        print_report(dry_run_report(job, chosen), options.output_format)
        return 0
    outcome = _run(job, options)
    print_report(export_report(outcome, chosen), options.output_format)
    return _exit_code(outcome)


def parse_export(words: Sequence[str]) -> ExportOptions:
    """The options in words of a command line, without the name of the command; the others have their defaults.

    Raises:
        click.UsageError: an option is wrong.
    """
    from prunnet_export.cli._command import command

    values = command.make_context("prunnet-export", list(words)).params
    names = {field.name for field in fields(ExportOptions)}
    return ExportOptions(**{name: value for name, value in values.items() if name in names})


def make_artifact(options: ExportOptions) -> Outcome:
    """Run one export without a report.

    Raises:
        PrunnetError: an option is wrong, or the artifact cannot be made. A budget that does not hold is no error.
    """
    job, _ = _prepared(options)
    return _run(job, options)


def _prepared(options: ExportOptions) -> tuple[Export, NetworkChoice]:
    """The export that the options ask for, and its network."""
    if not options.target:
        raise click.UsageError("no target is given: add --target NAME; --list-targets shows them")
    # All quick checks come before the import of torch, which is slow.
    target, budget = find_target(options.target), options.budget
    runtime = find_runtime(target.runtime)
    runtime.version()
    if options.batch_size > 1 and not runtime.takes_batches:
        raise UsageError(f"files for {runtime.name} take one image at a time", hint="leave out --batch-size")
    place = choose_place(options.device, target, runtime, require_measured=options.require_measured)
    if options.query_images == "none" and place.obstacle is not None and target.has_python:
        raise UsageError(
            f"--query-images none: {target.name} is only predicted here, and `finish` could not verify its choice",
            hint="give --query-images pixels",
        )
    predictor = predictor_for(target, place, budget, options.calibration, threads=options.threads)
    choose_precisions(options.precision, target)
    if options.metric and not options.gallery:
        raise click.UsageError("--metric is the metric of a gallery: add --gallery FILE")
    for module in ("torch", "timm", "onnx", "onnxscript"):
        require(module, extra="host")
    chosen = choose_network(options.network)
    return _job(options, chosen, target=target, place=place, predictor=predictor), chosen


def _run(job: Export, options: ExportOptions) -> Outcome:
    """Run an export, and warn of an unsteady measurement."""
    outcome = job.run(options.out or Path("dist") / job.target.name)
    latency = outcome.manifest.latency
    if not latency.steady:
        _LOG.warning(
            "the coefficient of variation is %.1f%%: clocks or other work disturb the measurement", 100 * latency.cv
        )
    return outcome


def _job(
    options: ExportOptions, chosen: NetworkChoice, *, target: Target, place: Place, predictor: Predictor | None
) -> Export:
    """The export that the options ask for."""
    from prunnet_export.evaluating import Evidence, warn_of_overlap
    from prunnet_export.network import limit_torch_threads, load_checkpoint
    from prunnet_export.search import Export

    limit_torch_threads()
    runtime, patterns = find_runtime(target.runtime), choose_patterns(options.pattern, target)
    for pattern in patterns:
        if sentence := runtime.ignored(pattern):
            _LOG.warning("%s", sentence)
    _LOG.info("network: %s (%s)", chosen.folder, chosen.because)
    if place.obstacle is not None:
        _LOG.warning("latencies are predicted, not measured: %s", place.obstacle)
    checkpoint = load_checkpoint(chosen.folder)
    data = open_data(options.data, options.layout, checkpoint)
    if checkpoint.config.teacher is None:  # else the images that the training held out are the queries
        warn_of_overlap(data)
    evidence = Evidence(checkpoint, data, options.max_queries, options.max_gallery)
    if options.gallery is not None:
        evidence = evidence.with_gallery(options.gallery, metric=options.metric)
    return Export(
        checkpoint=checkpoint,
        network_name=chosen.name,
        target=target,
        runtime=runtime,
        device=place.device,
        predictor=predictor,
        by_twin=place.by_twin,
        budget=options.budget,
        evidence=evidence,
        builder=_builder(options, evidence, target, place),
        patterns=patterns,
        precisions=choose_precisions(options.precision, target),
        channel_multiple=options.channel_multiple or target.channel_multiple,
        thresholds=options.thresholds,
        query_images=options.query_images,
        select=options.select,
        match_threshold=options.teacher_threshold,
        threads=options.threads,
    )


def _builder(options: ExportOptions, evidence: Evidence, target: Target, place: Place) -> Builder:
    """The builder of the network's candidates. It builds each candidate at most once."""
    from prunnet_export.building import BuildCache, Builder

    def times(model: Model) -> dict[str, float]:
        return layer_times(place.device, model, threads=options.threads, batch_size=options.batch_size)

    return Builder(
        evidence.checkpoint.network,
        find_runtime(target.runtime),
        BuildCache(cache_folder()),
        # MNN's choice of sparse layers depends on measured times.
        device=f"{place.key}, {options.threads} threads, batch {options.batch_size}",
        settle=evidence.settle,
        calibration=evidence.calibration,
        options=target.options,
        layer_times=None if place.obstacle else times,
    )


def _exit_code(outcome: Outcome) -> int:
    """The exit code of an export; also prints the error line if it was rejected."""
    if outcome.manifest.status != "rejected":
        return 0
    fail_line("; ".join(outcome.manifest.reasons), outcome.hint or f"{outcome.folder}/manifest.json has the figures")
    return GateFailed.exit_code
