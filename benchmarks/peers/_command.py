"""``prunnet-bench peers``: trains, exports, searches, measures and compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from prunnet_export._errors import InvalidInput
from prunnet_export._numbers import percent
from prunnet_export.benchmarks._methods import compare
from prunnet_export.benchmarks._methods_data import keep_in_memory, with_images
from prunnet_export.benchmarks._methods_runs import training_progress
from prunnet_export.benchmarks._methods_table import methods_report
from prunnet_export.benchmarks.methods import Settings
from prunnet_export.benchmarks.peers._choice import budgets_of, offers_of
from prunnet_export.benchmarks.peers._exported import ExportedRun, Exporter
from prunnet_export.benchmarks.peers._latency import measured
from prunnet_export.benchmarks.peers._networks import Networks
from prunnet_export.benchmarks.peers._settings import PEERS, Terms
from prunnet_export.benchmarks.peers._table import Compared, behind, target_document, target_tables
from prunnet_export.datasets import RetrievalData
from prunnet_export.devices import find_device
from prunnet_export.evaluating import CALIBRATION_IMAGES, ChosenImages, statistics_inputs, warn_of_overlap
from prunnet_export.network import limit_torch_threads
from prunnet_export.reports import Report, print_report
from prunnet_export.runtimes import find_runtime
from prunnet_export.target import Target, find_target
from prunnet_export.training import keep_freed_memory

Show = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class PeersOptions:
    """The options of ``peers``, as its help describes them."""

    settings: Settings
    seeds: int
    targets: tuple[str, ...]
    device: str
    threads: int | None
    samples: int
    out: Path
    output_format: str


def peers_table(options: PeersOptions) -> int:
    """Make what is missing, and print the tables."""
    limit_torch_threads()
    settings, data = with_images(options.settings)
    if not settings.students:
        raise InvalidInput(
            "no capacity has a network of every peer", hint="a student capacity has to be among --capacities"
        )
    terms = Terms(
        settings=settings,
        seeds=range(options.seeds),
        targets=[find_target(name) for name in dict.fromkeys(options.targets)],
        device=find_device(options.device),
        threads=options.threads,
        samples=options.samples,
        folder=options.out,
    )
    for target in terms.targets:
        find_runtime(target.runtime).version()  # a missing extra is told before the training
    terms.device.fingerprint().require_real()
    warn_of_overlap(data)
    keep_freed_memory()
    with training_progress(options.out) as show:
        report = _compare(terms, data, show)
    print_report(report, options.output_format)
    return 0


def _compare(terms: Terms, data: RetrievalData, show: Show) -> Report:
    settings = terms.settings
    networks = Networks(terms.folder / "networks", settings.preprocessing.size)
    kept = keep_in_memory(data, settings.preprocessing)  # the export reads the images that the training has decoded
    runs = compare(
        settings,
        kept,
        terms.folder,
        methods=PEERS,
        seeds=terms.seeds,
        progress=lambda what, done, steps: show(done, steps, what),
        keep=networks.keep,
    )

    def calibration() -> Iterator[Tensor]:
        return statistics_inputs(kept.train, settings.preprocessing, CALIBRATION_IMAGES)

    images = ChosenImages(kept, settings.preprocessing, settings.max_queries, settings.max_gallery)
    exporter = Exporter(terms, networks, images, calibration)
    files = {
        target.name: [exporter.run(target, method, seed) for method in PEERS for seed in terms.seeds]
        for target in terms.targets
    }
    compared = [_on_target(exporter, target, files[target.name]) for target in terms.targets]
    trained = methods_report(settings, data.name, terms.folder, runs)
    return Report(
        title="peers",
        tables=(*(table for one in compared for table in target_tables(one)), *trained.tables),
        document={**trained.document, "targets": list(map(target_document, compared))},
        footer=(
            *filter(None, (_refused(run) for target in terms.targets for run in files[target.name])),
            *(line for one in compared for line in behind(one)),
            *trained.footer,
        ),
    )


def _on_target(exporter: Exporter, target: Target, runs: list[ExportedRun]) -> Compared:
    first = exporter.terms.seeds[0]
    latencies = measured(exporter, target, [run for run in runs if run.seed == first])
    offers = offers_of(runs, latencies)
    return Compared(latencies, offers, budgets_of(offers, exporter.terms.settings.students))


def _refused(run: ExportedRun) -> str:
    """A line about the files of a run that the runtime refused; empty if there is none."""
    parts = [f"{percent(file.capacity)} {file.precision}" for file in run.files if file.refused is not None]
    return f"{run.target} refused {run.method} {run.seed}: {', '.join(parts)}" if parts else ""
