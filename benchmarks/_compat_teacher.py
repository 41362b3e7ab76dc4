"""``prunnet-bench compat`` for a network with a teacher: what each subnetwork finds in the teacher's gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from prunnet_export._text import interval_text
from prunnet_export.benchmarks._compat import settled
from prunnet_export.cli import NetworkChoice
from prunnet_export.evaluating import Evidence, TeacherSide, search_gates
from prunnet_export.reports import Report, Table
from prunnet_export.thresholds import Thresholds


@dataclass(frozen=True)
class TeacherRow:
    """The figures of one subnetwork in the teacher's gallery.

    Attributes:
        pattern: Name of the pattern.
        asked: The requested capacity.
        capacity: Kept fraction of the prunable weights.
        overlap: Mean share of the teacher's 10 nearest that the subnetwork finds too.
        interval: The 95 % interval of the overlap.
        cross_r1: R@1 of the subnetwork's queries; None without labels.
        teacher_self_r1: R@1 of the teacher's queries; None without labels.
        cross_r1_interval: The 95 % interval of ``cross_r1``.
        teacher_self_r1_interval: That of ``teacher_self_r1``.
    """

    pattern: str
    asked: float
    capacity: float
    overlap: float
    interval: tuple[float, float]
    cross_r1: float | None
    teacher_self_r1: float | None
    cross_r1_interval: tuple[float, float] | None
    teacher_self_r1_interval: tuple[float, float] | None


def teacher_rows(
    evidence: Evidence, side: TeacherSide, pattern: str, capacities: Sequence[float], channel_multiple: int
) -> Iterator[TeacherRow]:
    """The figures of one subnetwork after the other, computed by torch.

    Raises:
        InvalidInput: a capacity cannot be reached.
        UnsupportedPattern: the network cannot be cut like this.
    """
    for subnetwork, module in settled(evidence, pattern, capacities, channel_multiple):
        queries = evidence.embed_queries(side, module)
        gates, figures = search_gates(queries, None, evidence.reference(side, queries, queries), Thresholds())
        overlap = next(gate for gate in gates if gate.interval is not None)
        yield TeacherRow(
            pattern=pattern,
            asked=subnetwork.asked,
            capacity=subnetwork.capacity,
            overlap=overlap.value,
            interval=overlap.interval or (overlap.value, overlap.value),
            cross_r1=figures.get("cross_r1"),
            teacher_self_r1=figures.get("teacher_self_r1"),
            cross_r1_interval=figures.get("cross_r1_interval"),
            teacher_self_r1_interval=figures.get("teacher_self_r1_interval"),
        )


def teacher_report(rows: Sequence[TeacherRow], evidence: Evidence, side: TeacherSide, chosen: NetworkChoice) -> Report:
    """The report of ``compat`` for a network with a teacher."""
    gallery, data = side.gallery.entry, evidence.data.name
    source = gallery.file or "the teacher's vectors of training images"
    cells = tuple(
        (
            row.pattern,
            f"{row.asked:.0%}",
            f"{row.capacity:.1%}",
            f"{row.overlap:.1%}",
            interval_text(row.interval),
            None if row.cross_r1 is None else f"{row.cross_r1:.1%}",
            interval_text(row.cross_r1_interval),
            None if row.teacher_self_r1 is None else f"{row.teacher_self_r1:.1%}",
            interval_text(row.teacher_self_r1_interval),
        )
        for row in rows
    )
    columns = (
        "pattern",
        "capacity",
        "kept",
        "neighbour overlap",
        "95%",
        "cross-test R@1",
        "95%",
        "teacher's R@1",
        "95%",
    )
    title = f"{data}: {len(side.queries)} held-out queries in {source} ({gallery.count:,} x {gallery.dim})"
    return Report(
        title="compatibility",
        tables=(Table(title, columns, cells),),
        document={
            "network": {"path": str(chosen.folder), "because": chosen.because},
            "data": data,
            "n_queries": len(side.queries),
            "n_gallery": gallery.count,
            "gallery": gallery.file,
            "rows": [asdict(row) for row in rows],
        },
        footer=(f"network: {chosen.folder} ({chosen.because})",),
    )
