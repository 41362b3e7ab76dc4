"""The reports of an export."""

from __future__ import annotations

from prunnet_export._numbers import significant
from prunnet_export._text import first_of
from prunnet_export.artifact import (
    GalleryEntry,
    Manifest,
    frontier_plot,
    frontier_table,
    latency_rows,
    latency_tables,
    manifest_checks,
    manifest_document,
    threshold_table,
)
from prunnet_export.cli._context import NetworkChoice
from prunnet_export.reports import Report, Table
from prunnet_export.search import Export, Outcome
from prunnet_export.target import find_target


def export_report(outcome: Outcome, chosen: NetworkChoice) -> Report:
    """The report of a finished export."""
    manifest = outcome.manifest
    document = {
        "network": {"path": str(chosen.folder), "because": chosen.because, "sha256": manifest.network.sha256},
        **manifest_document(manifest),
        "artifact": {"path": str(outcome.folder), "size_mb": manifest.size_mb, "status": manifest.status},
    }
    verb = "verified" if manifest.status == "verified" else "rejected"
    return Report(
        title=f"prunnet-export {manifest.target}",
        tables=(
            _result_table(outcome, chosen),
            *latency_tables(manifest.latency),
            frontier_table(manifest),
            *([threshold_table(manifest.verification)] if manifest.verification.match_thresholds else []),
        ),
        checks=manifest_checks(manifest),
        document=document,
        plots=(frontier_plot(manifest),),
        footer=(f"{verb}: {outcome.folder}", _next_command(outcome)),
    )


def _next_command(outcome: Outcome) -> str:
    manifest = outcome.manifest
    if manifest.latency.source == "measured" or manifest.status == "rejected":
        return f"next: prunnet-bench {outcome.folder}"
    if find_target(manifest.target).has_python:
        return f"next, on the device: prunnet-export finish {outcome.folder}"
    return f"next: deploy {outcome.folder}/{manifest.entry} as it is; its latency is to be measured there"


def _result_table(outcome: Outcome, chosen: NetworkChoice) -> Table:
    manifest, latency = outcome.manifest, outcome.manifest.latency
    rows: list[tuple[str, str]] = [
        ("network", f"{manifest.network.name} ({manifest.network.backbone}; {chosen.because})"),
        ("device", "not here" if manifest.device is None else str(manifest.device)),
        ("chosen", str(manifest.subnetwork)),
        *latency_rows(latency),
    ]
    if kept := manifest.subnetwork.float_layers:
        rows.append(("in float", f"{len(kept)} layers that lose too much in INT8: {first_of(kept)}"))
    if (dense := manifest.dense_latency) is not None:
        how = "in the same runs" if dense.source == "measured" else f"({dense.source})"
        ratio = f"in the most exact precision searched: {dense.p50_ms / latency.p50_ms:.2f}x"
        rows.append(("dense", f"p50 {significant(dense.p50_ms)} ms {how}, {ratio}"))
    rows.append(("size", f"{significant(manifest.size_mb)} MB"))
    if manifest.memory is not None:
        peak = f"{significant(manifest.memory.peak_mb)} MiB above the runtime"
        rows.append(("memory", f"{peak} ({manifest.memory.source})"))
    rows += _verification_rows(manifest)
    if outcome.no_threshold is not None:
        rows.append(("thresholds", f"none: {outcome.no_threshold}"))
    if manifest.verified_by is not None:
        engine = f"{manifest.verified_by.name} {manifest.verified_by.version}"
        rows.append(("verified by", f"{engine}, because {manifest.runtime.name} does not run here"))
    if not manifest.built:
        rows.append(("built", f"no: {manifest.runtime.name} builds its engine on the device"))
    if manifest.alternatives:
        others = ", ".join(f"{other.subnetwork.capacity:.1%}" for other in manifest.alternatives)
        rows.append(("alternatives", f"{others}, so that the device can measure and choose again"))
    return Table("result", ("", ""), tuple(rows))


def _verification_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """What the artifact finds, in which gallery, made by which teacher, for which images."""
    verification, teacher, rows = manifest.verification, manifest.network.teacher, []
    if verification.cross_r1 is not None and verification.teacher_self_r1 is not None:
        self_test = "" if verification.self_r1 is None else f", self-test {verification.self_r1:.1%}"
        low_high = verification.cross_r1_interval
        interval = "" if low_high is None else f" (95% {low_high[0]:.1%} to {low_high[1]:.1%})"
        own = "dense" if verification.gallery.made_by == "dense network" else "teacher's"
        cross, best = f"{verification.cross_r1:.1%}{interval}", f"{verification.teacher_self_r1:.1%}"
        figures = f"cross-test {cross}{self_test}, {own} self-test {best}"
        rows.append(("R@1", f"{figures} ({verification.n_queries} queries, {verification.n_gallery} gallery)"))
    elif (overlap := verification.gate("neighbour overlap")) is not None:
        rows.append(("neighbours", f"{overlap.found()} of the 10 nearest kept ({overlap.n} queries)"))
    if teacher is not None:
        rows.append(("teacher", f"{teacher.name} ({teacher.kind})"))
    if (gallery := _gallery_text(verification.gallery)) is not None:
        rows.append(("gallery", gallery))
    rows.append(("data", verification.data))
    return rows


def _gallery_text(gallery: GalleryEntry) -> str | None:
    """Where the gallery is from and how it is searched; None if it is of the data set's images."""
    if gallery.file is None and gallery.made_by == "dense network":
        return None
    source = gallery.file or "the teacher's vectors of training images, as no --gallery is given"
    engine = "" if gallery.engine is None else f", searched by {gallery.engine}"
    return f"{source} ({gallery.count:,} x {gallery.dim} {gallery.stored}, {gallery.metric}{engine})"


def dry_run_report(job: Export, chosen: NetworkChoice) -> Report:
    """The report of ``--dry-run``: the candidates that an export would search."""
    candidates = [candidate for rungs in job.candidates().values() for candidate in rungs]
    rows = [
        (c.pattern, f"{c.subnetwork.asked:.1%}", f"{c.capacity:.1%}", c.precision, c.subnetwork.kept / 1e6)
        for c in candidates
    ]
    columns = ("pattern", "asked", "capacity", "precision", "million weights")
    return Report(
        title=f"prunnet-export {job.target.name} (dry run)",
        tables=(
            Table(
                "plan",
                ("", ""),
                (
                    ("network", f"{chosen.folder} ({chosen.because})"),
                    ("target", f"{job.target.name}: {job.target.device}, {job.runtime.name} {job.runtime.version()}"),
                    ("budget", str(job.budget)),
                    ("data", job.evidence.data.name),
                ),
            ),
            Table("candidates; bisection measures a few of them", columns, tuple(rows)),
        ),
        document={
            "dry_run": True,
            "network": {"path": str(chosen.folder), "because": chosen.because},
            "target": job.target.name,
            "runtime": {"name": job.runtime.name, "version": job.runtime.version()},
            "data": job.evidence.data.name,
            "candidates": [
                {
                    "pattern": c.pattern,
                    "capacity_asked": c.subnetwork.asked,
                    "capacity": c.capacity,
                    "precision": c.precision,
                    "weights_kept": c.subnetwork.kept,
                    "widths": c.subnetwork.widths(),
                }
                for c in candidates
            ],
        },
        footer=("nothing was measured or written",),
    )
