"""The model card of an artifact: README.md, which shows the manifest to people."""

from __future__ import annotations

from prunnet_export._errors import UnknownName
from prunnet_export._numbers import significant
from prunnet_export._text import interval_text
from prunnet_export.artifact._manifest import Manifest
from prunnet_export.artifact._report import latency_tables, threshold_table
from prunnet_export.artifact._verification import GalleryEntry, Gate, QueryImages
from prunnet_export.measuring import LatencyReport
from prunnet_export.network_config import TeacherEntry
from prunnet_export.preprocessing import Preprocessing, sides
from prunnet_export.reports import Cell, Table, markdown_table, markdown_text
from prunnet_export.runtimes import find_runtime

_IMAGES: dict[QueryImages, str] = {
    "files": "the original files of the query images",
    "pixels": "the query images at the size of the input",
    "none": "no query images",
}


def render_card(manifest: Manifest) -> str:
    """The model card in Markdown. Each latency has its percentile, number of samples, engine and source."""
    sections = [_summary(manifest), _usage(manifest), _latency(manifest), _budget(manifest), _verification(manifest)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(manifest: Manifest) -> str:
    cut, network, steps = manifest.subnetwork, manifest.network, manifest.preprocessing
    lines = [
        f"# {markdown_text(network.name)} for {markdown_text(manifest.target)}",
        (
            f"A subnetwork of a {markdown_text(network.backbone)} that embeds images of {_pixels(steps.size)} pixels as"
            f" {network.embedding_dim} numbers, to be matched against a gallery of {_gallery_of(network.teacher)}."
        ),
    ]
    if manifest.status == "rejected":
        reasons = "\n".join(f"> - {markdown_text(reason)}" for reason in manifest.reasons)
        lines.append(f"> **Rejected.** Do not deploy this artifact:\n>\n{reasons}")
    lines.append(
        _table(
            ("", ""),
            (
                ("status", manifest.status),
                ("pattern", cut.pattern),
                ("capacity", f"{cut.capacity:.1%} ({cut.weights_kept:,} of {cut.weights_total:,} prunable weights)"),
                ("precision", cut.precision),
                ("engine", f"{manifest.runtime.name} {manifest.runtime.version}"),
                ("built", "yes" if manifest.built else "no: the engine is built on the device, by `finish`"),
                ("model files", f"{significant(manifest.size_mb)} MB"),
                ("network", network.sha256[:12]),
                ("images in it", _IMAGES[manifest.verification.query_images]),
                ("made", manifest.created),
            ),
        )
    )
    return "\n\n".join(lines)


def _usage(manifest: Manifest) -> str:
    steps, (height, width) = manifest.preprocessing, manifest.preprocessing.size
    allow = ", allow_rejected=True" if manifest.status == "rejected" else ""
    return f"""## Use

```sh
pip install 'prunnet-export[{_extra(manifest.runtime.name)}]'
```

```python
import prunnet_export

model = prunnet_export.load("."{allow})      # this folder
embeddings = model.embed(["query.jpg"])  # float32 [1, {manifest.network.embedding_dim}], unit length
```

`embed` makes the model's input. Without this package, make it in the same way:

1. Decode the image, and turn or mirror it as its EXIF orientation says.
2. Lay transparent pixels on white (255, 255, 255). Make it RGB with 8 bits a channel; of 16 bits keep the upper 8.
3. Resize it, bilinear with antialiasing, {_resizing(steps)}
   The other side is rounded, half to even. First all rows, then all columns: each pass gives 8 bits, with weights
   that fall linearly to 0 and are rounded to multiples of 2^-22.
4. Crop {_pixels(steps.size)} pixels out of the centre, from (width - {width}) // 2 and (height - {height}) // 2 on.
5. Divide by 255, and give float32 [1, 3, {height}, {width}], red first. Mean,
   standard deviation and L2 normalisation are inside the model.{_golden(manifest)}"""


def _golden(manifest: Manifest) -> str:
    """Which files a device tests its own code with."""
    golden = manifest.golden
    if golden is None:
        return ""
    (height, width), dim = manifest.preprocessing.size, manifest.network.embedding_dim
    return f"""

Test such code with these files: `{golden.image}` becomes `{golden.pixels}` after step 4 (uint8 [{height}, {width}, 3]),
and the model gives `{golden.output}` for it (float32 [{dim}], little-endian). Neither has a header."""


def _pixels(size: tuple[int, int]) -> str:
    """Height and width for people; of a rectangle with these words."""
    height, width = size
    return f"{height} x {width}" if height == width else f"{height} x {width} (height x width)"


def _resizing(steps: Preprocessing) -> str:
    """The size that an image is resized to, as the end of a sentence."""
    frame = _pixels(steps.frame)
    if steps.fit == "squash":
        return f"to {frame} pixels, whatever its ratio of width to height."
    if steps.fit == "pad":
        white = "lay it in the middle of a white image of this size."
        return f"so that it fits into {frame} pixels with its ratio, and\n   {white}"
    if steps.frame[0] == steps.frame[1]:
        return f"so that its shorter side has {steps.frame[0]} pixels."
    return f"so that it just covers {frame} pixels with its ratio."


def _extra(runtime: str) -> str:
    """The extra that installs an engine; its own name if the engine is of another package that is not installed."""
    try:
        return str(find_runtime(runtime).extra)
    except UnknownName:
        return runtime


def _latency(manifest: Manifest) -> str:
    reports = [("this artifact", manifest.latency)]
    if manifest.dense_latency is not None:
        reports.append(("dense network", manifest.dense_latency))
    head = ("model", "p50 ms", "p90 ms", "p99 ms", "asked", "upper bound", "cv", "terms")
    lines = ["## Latency", _table(head, tuple(_latency_row(name, report) for name, report in reports))]
    lines.append(_scope(manifest.latency))
    lines += [markdown_table(table) for table in latency_tables(manifest.latency)]
    if manifest.latency.emulated:
        lines.append("Not measured: these are the times of an emulator. On the device, run `prunnet-export finish`.")
    elif manifest.latency.source != "measured":
        next_step = ": on the device, `prunnet-export finish` measures and chooses again"
        lines.append(f"Not measured{next_step if manifest.alternatives or not manifest.built else ''}.")
    if manifest.latency.batch > 1:
        rate = f"{significant(manifest.latency.images_per_second)} images per second"
        lines.append(f"{rate} (batch {manifest.latency.batch} / p50, {manifest.latency.terms()}).")
    if not manifest.latency.steady:
        lines.append(f"The samples scatter (cv {manifest.latency.cv:.1%}): the clocks were not steady.")
    if manifest.device is not None:
        lines.append(f"Device: {markdown_text(str(manifest.device))}.")
    return "\n\n".join(lines)


def _scope(latency: LatencyReport) -> str:
    """What the latency is of, as sentences."""
    each = "" if latency.batch == 1 else f" Each latency is of a batch of {latency.batch} images."
    if latency.photo_px is None:
        return f"Scope `compute`: the network alone, no decoding, no preprocessing.{each}"
    photo = f"a JPEG photograph of {_pixels(sides(latency.photo_px))} pixels"
    return f"Scope `end-to-end`: from the bytes of {photo} to the embedding, one image after the other.{each}"


def _latency_row(name: str, report: LatencyReport) -> tuple[Cell, ...]:
    return (
        name,
        report.p50_ms,
        report.p90_ms if report.n else None,
        report.p99_ms if report.n else None,
        f"p{report.percentile:g} {significant(report.percentile_ms)} ms",
        report.bound(),
        f"{report.cv:.1%}" if report.n else None,
        report.terms(),
    )


def _budget(manifest: Manifest) -> str:
    memory = manifest.memory
    terms = {"latency": f"upper bound; {manifest.latency.terms()}", "memory": "measured above the engine"}
    rows: list[tuple[Cell, ...]] = [
        (one.name, f"{one.allowed:g} {one.unit}", f"{significant(one.figure)} {one.unit}", terms.get(one.name))
        for one in manifest.budget.limits(manifest.figures)
    ]
    if memory is None and manifest.budget.ram_mb is not None:
        rows.append(("memory", f"{manifest.budget.ram_mb:g} MiB", "not measured", None))
    elif memory is not None and manifest.budget.ram_mb is None:
        rows.append(("memory", "-", f"{significant(memory.peak_mb)} MiB", terms["memory"]))
    return f"## Budget\n\n{_table(('', 'allowed', 'came out', ''), tuple(rows))}"


def _verification(manifest: Manifest) -> str:
    found = manifest.verification
    maker = found.gallery.made_by
    own = "dense" if maker == "dense network" else "teacher's"
    scores = [
        (
            f"cross-test: query by this artifact, gallery by the {maker}",
            found.cross_r1,
            found.cross_r1_interval,
            found.cross_map,
        ),
        ("self-test: both by this artifact", found.self_r1, found.self_r1_interval, found.self_map),
        (
            f"{own} self-test: both by the {maker}",
            found.teacher_self_r1,
            found.teacher_self_r1_interval,
            found.teacher_self_map,
        ),
    ]
    rows = [
        (name, _share(r1), interval_text(interval) or "-", _share(mean))
        for name, r1, interval, mean in scores
        if r1 is not None or mean is not None
    ]
    lines = [
        "## Verification",
        (
            f"On the exported files, by {_engine(manifest)}, measured:"
            f" {found.n_queries:,} queries against {found.n_gallery:,} gallery images"
            f" of {markdown_text(found.data)}. The gallery is {_gallery(found.gallery)}."
        ),
    ]
    if rows:
        lines.append(_table(("test", "R@1", "95%", "mAP"), tuple(rows)))
    if found.gates:
        lines.append(_table(("gate", "value", "has to be", "n", "", ""), tuple(map(_gate, found.gates))))
    if found.match_thresholds:
        lines += [
            (
                "A service that accepts matches by a threshold needs another one for the queries of this artifact."
                " These accept the same share of wrong pairs:"
            ),
            markdown_table(threshold_table(found)),
        ]
    return "\n\n".join(lines)


def _gallery_of(teacher: TeacherEntry | None) -> str:
    return "the *dense* network" if teacher is None else f"its *teacher*, {markdown_text(teacher.name)}"


def _gallery(gallery: GalleryEntry) -> str:
    """Where the gallery is from, what it stores and how it is searched."""
    source = "made for this verification" if gallery.file is None else markdown_text(gallery.file)
    facts = f"{source}: {gallery.count:,} x {gallery.dim} {markdown_text(gallery.stored)}, searched by {gallery.metric}"
    if gallery.engine is not None:
        facts += f" with {markdown_text(gallery.engine)}"
    if gallery.query_scale == 1:
        return facts
    return f"{facts}, with embeddings of this artifact times {gallery.query_scale:.4g}"


def _engine(manifest: Manifest) -> str:
    own, other = manifest.runtime, manifest.verified_by
    if other is None:
        return f"{own.name} {own.version}"
    return f"{other.name} {other.version} instead of {own.name}, which did not run on the host"


def _gate(gate: Gate) -> tuple[str, ...]:
    wanted = "-" if gate.threshold is None else f"{gate.comparison or ''} {gate.threshold:g}".strip()
    verdict = "passed" if gate.passed else "FAILED"
    interval = "" if gate.interval is None else f" (95% {gate.interval[0]:.4g} to {gate.interval[1]:.4g})"
    return gate.name, f"{gate.value:.6g}{interval}", wanted, f"{gate.n:,}", verdict, gate.note


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _table(columns: tuple[str, ...], rows: tuple[tuple[Cell, ...], ...]) -> str:
    return markdown_table(Table("", columns, rows))
