"""``prunnet-bench preprocessing``: do the vectors of a device come from the images, and if not, what went wrong?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from prunnet_export._console import fail_line
from prunnet_export._errors import GateFailed, InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._limits import IMAGE_BYTES
from prunnet_export._text import first_of, shown
from prunnet_export.artifact import chosen_model_files, held, restore
from prunnet_export.benchmarks.drift._mistakes import CORRECT, Explanation, explanations
from prunnet_export.devices import LocalDevice
from prunnet_export.evaluating import Embeddings, ModelOnDevice
from prunnet_export.preprocessing import decode
from prunnet_export.reports import Check, Report, Table, print_report
from prunnet_export.runtimes import Model
from prunnet_export.vectors import open_vectors, unit_vectors

_MOST = 64  # images; the median of so many tells the mistakes apart
_LEAST = 0.99  # for an artifact without the gate on images
_NEARER = 0.5  # an explanation is at most so far from the vectors, as a share of the right way's distance


@dataclass(frozen=True)
class PreprocessingOptions:
    """The options of ``preprocessing``, as their help describes them."""

    artifact: Path
    images: Path
    vectors: Path
    output_format: str


def check_preprocessing(options: PreprocessingOptions) -> int:
    """Compare a device's vectors with the artifact's own, name the mistake, and return the exit code."""
    restore(options.artifact)
    with held(options.artifact) as kept:
        manifest = kept.manifest
        names, images, vectors = _read(options, manifest.network.embedding_dim)
        files = tuple(kept.folder / name for name in chosen_model_files(manifest))
        model = Model(kept.folder / manifest.entry, manifest.runtime.name, manifest.subnetwork.precision, files)
        tested = ModelOnDevice(model, LocalDevice(), manifest.latency.threads)
        found = explanations(tested, manifest.preprocessing, images, vectors)
    gate = manifest.verification.gate("bytes to vector")
    least = _LEAST if gate is None or gate.threshold is None else gate.threshold
    right = next(one for one in found if one.name == CORRECT)
    check = Check("device vectors", right.worst >= least, _message(right, found[0], least, len(names)))
    report = Report(
        title=f"prunnet-bench preprocessing {shown(options.artifact.name)}",
        tables=(_table(found, len(names)),),
        checks=(check,),
        document={
            "artifact": shown(options.artifact), "n": len(names), "least": least,
            "verdict": CORRECT if check.passed else _verdict(right, found[0]),
            "ways": [asdict(one) for one in found], "checks": [asdict(check)],
        },
    )  # fmt: skip
    print_report(report, options.output_format)
    if check.passed:
        return 0
    fail_line(f"{check.name}: {check.message}", "the manifest has the preprocessing in numbers")
    return GateFailed.exit_code


def _message(right: Explanation, best: Explanation, least: float, count: int) -> str:
    figures = f"worst cosine {right.worst:.4f}, asked >= {least:g}, n {count}"
    return figures if right.worst >= least else f"{figures}: {_verdict(right, best)}"


def _verdict(right: Explanation, best: Explanation) -> str:
    if 1 - best.median <= _NEARER * (1 - right.median):
        return best.name
    return "none of the known mistakes explains it"


def _table(found: list[Explanation], count: int) -> Table:
    rows = tuple((one.name, f"{one.median:.4f}", f"{one.worst:.4f}") for one in found)
    return Table(f"cosines with the artifact's own vectors, {count} images", ("inputs", "median", "worst"), rows)


def _read(options: PreprocessingOptions, dim: int) -> tuple[list[str], list[Image.Image], Embeddings]:
    """Names, images and unit vectors, of at most 64 images."""
    stored = open_vectors(options.vectors)
    if stored.names is None:
        raise InvalidInput(f"{options.vectors} has no names", hint="name the file of each vector, relative to --images")
    if stored.dim != dim:
        raise InvalidInput(f"{options.vectors}: vectors of length {stored.dim}, the artifact makes {dim}",
                           hint="give the vectors of this artifact")  # fmt: skip
    names = list(stored.names)[:_MOST]
    missing = [name for name in names if not (options.images / name).is_file()]
    if missing:
        raise InvalidInput(
            f"{len(missing)} of {len(names)} named images are not in {options.images}: {first_of(missing)}",
            hint="names are paths relative to --images",
        )
    rows = stored.rows(0, len(names))
    stored.check_rows(rows, 0)
    vectors = unit_vectors(rows)
    images = [decode(read_bytes(options.images / name, at_most=IMAGE_BYTES), name=name) for name in names]
    return names, images, np.asarray(vectors, np.float32)
