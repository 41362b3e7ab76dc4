"""What ``prunnet-export`` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunnet_export._cache_folder import cache_folder
from prunnet_export._console import fail_line, note, warn
from prunnet_export._errors import GateFailed
from prunnet_export.budget import Budget
from prunnet_export.cli._context import choose_network, choose_patterns, choose_precisions, open_data
from prunnet_export.cli._options import parse_percentile
from prunnet_export.cli._place import choose_place, predictor_for
from prunnet_export.devices import layer_times
from prunnet_export.runtimes import find_runtime
from prunnet_export.target import find_target

if TYPE_CHECKING:
    from prunnet_export.network import Checkpoint
    from prunnet_export.verification import Gallery


def export(**options: Any) -> int:
    """Run one export and print its report; returns the exit code."""
    if not options["target"]:
        raise click.UsageError("no target is given: add --target NAME; --list-targets shows them")
    # Everything that is cheap to check is checked before torch is imported.
    target = find_target(options["target"])
    budget = Budget(
        latency_ms=options["budget_ms"],
        size_mb=options["budget_mb"],
        ram_mb=options["budget_ram_mb"],
        percentile=parse_percentile(options["at"]),
    )
    runtime = find_runtime(target.runtime)
    runtime.version()
    place = choose_place(options["device"], target, runtime, require_measured=options["require_measured"])
    predictor = predictor_for(target, place, budget, options["calibration"], threads=options["threads"])
    precisions = choose_precisions(options["precision"], target)

    from prunnet_export._imports import require

    for module in ("torch", "timm", "onnx", "onnxscript"):
        require(module, extra="host")
    chosen = choose_network(options["network"])  # the demo network's place is known to a module that needs torch
    from prunnet_export.building import BuildCache, Builder
    from prunnet_export.network import adapt, load_checkpoint
    from prunnet_export.reports import render
    from prunnet_export.reports._export import dry_run_report, export_report
    from prunnet_export.search import Evidence, Export
    from prunnet_export.verification import Thresholds

    patterns = choose_patterns(options["pattern"], target)
    for pattern in patterns:
        if sentence := runtime.ignored(pattern):
            warn(sentence)
    note(f"network: {chosen.folder} ({chosen.because})")
    if place.obstacle is not None:
        warn(f"latencies are predicted, not measured: {place.obstacle}")
    checkpoint = load_checkpoint(chosen.folder)
    gallery = None if options["gallery"] is None else _given_gallery(options["gallery"], checkpoint)
    evidence = Evidence(
        checkpoint,
        open_data(options["data"], options["layout"], checkpoint),
        max_queries=options["max_queries"],
        max_gallery=options["max_gallery"],
        gallery=gallery,
    )
    channel_multiple = options["channel_multiple"] or target.channel_multiple
    dense = checkpoint.network.embedder
    builder = Builder(
        checkpoint.network,
        runtime,
        BuildCache(cache_folder()),
        device=f"{place.key}, {options['threads']} threads",  # MNN's gate is timed
        settle=lambda module: adapt(module, dense, evidence.statistics),
        calibration=evidence.calibration,
        options=target.options,
        layer_times=None
        if place.obstacle
        else lambda model: layer_times(place.device, model, threads=options["threads"]),
    )
    job = Export(
        checkpoint=checkpoint,
        network_name=chosen.name,
        target=target,
        runtime=runtime,
        device=place.device,
        predictor=predictor,
        by_twin=place.by_twin,
        budget=budget,
        evidence=evidence,
        builder=builder,
        patterns=patterns,
        precisions=precisions,
        channel_multiple=channel_multiple,
        thresholds=Thresholds(
            parity=options["min_parity"], recall=options["min_recall"], overlap=options["min_overlap"]
        ),
        select=options["select"],
        threads=options["threads"],
        say=note,
    )
    if options["dry_run"]:
        click.echo(render(dry_run_report(job, chosen), options["output_format"]), nl=False)
        return 0
    outcome = job.run(options["out"] or Path("dist") / target.name)
    if not outcome.manifest.latency.steady:
        cv = outcome.manifest.latency.cv
        warn(f"the coefficient of variation is {cv:.1%}: clocks or other work disturb the measurement")
    click.echo(render(export_report(outcome, chosen), options["output_format"]), nl=False)
    if outcome.manifest.status == "rejected":
        fail_line(
            "; ".join(outcome.manifest.reasons), outcome.hint or f"{outcome.folder}/manifest.json has the figures"
        )
        return GateFailed.exit_code
    return 0


def _given_gallery(file: Path, checkpoint: Checkpoint) -> Gallery:
    from prunnet_export.verification import load_gallery

    config = checkpoint.config
    gallery = load_gallery(file, network=config.weights_sha256, dim=config.embedding_dim)
    if gallery.network is None:
        warn(f"nothing says which network made {file}: a gallery of another network cannot be told apart")
    return gallery
