"""What the commands of ``prunnet-bench`` that make tables print and write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import msgspec

from prunnet_export._console import note, warn
from prunnet_export._files import replace_file
from prunnet_export.cli._context import choose_network, open_data
from prunnet_export.devices import find_device
from prunnet_export.measuring import UNSTEADY
from prunnet_export.reports import Report, Table, render
from prunnet_export.runtimes import find_runtime
from prunnet_export.search._cache import default_cache_folder
from prunnet_export.target import find_target


def calibration_table(
    *,
    target: str,
    backbone: str,
    crop_px: int,
    patterns: Sequence[str],
    capacities: Sequence[float],
    samples: int,
    out: Path | None,
    device: str,
    threads: int | None,
    output_format: str,
    **_: Any,
) -> int:
    """Measure a grid, print the curve, and write the table."""
    chosen, machine = find_target(target), find_device(device)
    runtime = find_runtime(chosen.runtime)
    runtime.version()
    from prunnet_export.benchmarks._calibrate import calibrate

    table = calibrate(
        backbone,
        chosen,
        runtime,
        machine,
        crop=crop_px,
        patterns=patterns,
        capacities=capacities,
        samples=samples,
        threads=threads,
        say=note,
    )
    file = out or default_cache_folder() / "calibration" / f"{chosen.name}-{backbone}-{crop_px}-{table.device.id}.json"
    replace_file(file, msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n")
    if max(row.cv for row in table.rows) > UNSTEADY:
        warn("the coefficient of variation of some rows is over 2.5 %: clocks or other work disturb the measurement")
    rows = tuple(
        (
            r.pattern,
            f"{r.capacity:.0%}",
            f"{r.kept:.1%}",
            r.precision,
            r.p50_ms,
            r.p90_ms,
            f"{r.cv:.1%}",
            r.n,
            f"{r.speedup:.2f}x",
            r.size_mb,
        )
        for r in table.rows
    )
    columns = ("pattern", "capacity", "kept", "precision", "p50 ms", "p90 ms", "cv", "n", "speedup", "MB")
    title = f"{backbone}, {crop_px} px, batch 1, {table.runtime} {table.runtime_version}, measured on {table.device}"
    report = Report(
        title="calibration",
        tables=(Table(title, columns, rows),),
        checks=(),
        document={**msgspec.to_builtins(table), "file": str(file)},
        footer=(f"written: {file}",),
    )
    click.echo(render(report, output_format), nl=False)
    return 0


def compat_table(
    *,
    network: Path | None,
    data: str | None,
    layout: str | None,
    patterns: Sequence[str],
    capacities: Sequence[float],
    channel_multiple: int,
    max_queries: int,
    max_gallery: int,
    output_format: str,
    **_: Any,
) -> int:
    """Compute and print the compatibility table of a network."""
    from prunnet_export.benchmarks._compat import compatibility
    from prunnet_export.network import load_checkpoint
    from prunnet_export.search import Evidence
    from prunnet_export.verification import choose

    chosen = choose_network(network)
    checkpoint = load_checkpoint(chosen.folder)
    evidence = Evidence(
        checkpoint, open_data(data, layout, checkpoint), max_queries=max_queries, max_gallery=max_gallery
    )
    found = compatibility(
        checkpoint,
        evidence,
        patterns=patterns,
        capacities=capacities,
        channel_multiple=channel_multiple,
        say=note,
    )
    n_queries, n_gallery = map(len, choose(evidence.data, max_queries=max_queries, max_gallery=max_gallery))
    rows = tuple(
        (
            row.pattern,
            f"{row.asked:.0%}",
            f"{row.capacity:.1%}",
            f"{row.self_test.recall_at[1]:.1%}",
            f"{row.cross_test.recall_at[1]:.1%}",
            f"{row.self_test.mean_average_precision:.1%}",
            f"{row.cross_test.mean_average_precision:.1%}",
        )
        for row in found
    )
    columns = ("pattern", "capacity", "kept", "self R@1", "cross R@1", "self mAP", "cross mAP")
    title = f"{evidence.data.name}: {n_queries} queries, {n_gallery} gallery images"
    report = Report(
        title="compatibility",
        tables=(Table(title, columns, rows),),
        checks=(),
        document={
            "network": {"path": str(chosen.folder), "because": chosen.because},
            "data": evidence.data.name,
            "n_queries": n_queries,
            "n_gallery": n_gallery,
            "rows": [asdict(row) for row in found],
        },
        footer=(f"network: {chosen.folder} ({chosen.because})",),
    )
    click.echo(render(report, output_format), nl=False)
    return 0


def write_gallery(
    *, network: Path | None, data: str | None, layout: str | None, out: Path, output_format: str, **_: Any
) -> int:
    """Embed the gallery split with the dense network and write it."""
    from prunnet_export.network import load_checkpoint
    from prunnet_export.search._evidence import batches, embed_in_torch
    from prunnet_export.verification import Gallery, save_gallery

    chosen = choose_network(network)
    checkpoint = load_checkpoint(chosen.folder)
    images = open_data(data, layout, checkpoint).gallery
    note(f"embedding {len(images)} images")
    inputs = batches(images, range(len(images)), checkpoint.config.preprocessing)
    embeddings = embed_in_torch(checkpoint.network.embedder, inputs)
    save_gallery(Gallery(embeddings, images.labels, checkpoint.config.weights_sha256), out)
    facts = (("images", len(embeddings)), ("dimension", embeddings.shape[1]), ("network", str(chosen.folder)))
    report = Report(
        title="gallery",
        tables=(Table("gallery", ("", ""), facts),),
        checks=(),
        document={**dict(facts), "file": str(out)},
        footer=(f"written: {out}", f"next: prunnet-export --gallery {out} --target x86-onnxruntime --budget-ms 5"),
    )
    click.echo(render(report, output_format), nl=False)
    return 0
