"""One query by an artifact and by code that a user writes by hand, in turns: from a photograph's bytes to the vector.

Run: ``python -m prunnet_export.benchmarks.query_path ARTIFACT [--photo-px 3024x4032] [--queries 200]``. The
artifact is one for ONNX Runtime that crops. The photograph is that of ``prunnet-export --scope end-to-end``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from prunnet_export._console import script_errors
from prunnet_export._errors import UsageError
from prunnet_export._numbers import significant
from prunnet_export.artifact import LoadedArtifact, load
from prunnet_export.devices import fingerprint, photograph
from prunnet_export.measuring import Ratio, percentile, ratio_of_pairs
from prunnet_export.preprocessing import Size, parse_size, size_text

Vector = npt.NDArray[np.float32]
Query = Callable[[bytes], Vector]

_WARMUP = 5


@dataclass(frozen=True)
class Compared:
    """What was found.

    Attributes:
        ours_ms: Milliseconds of each query by the artifact.
        by_hand_ms: Milliseconds of each query by hand, one after each of ours.
        cosine: Cosine of both vectors.
    """

    ours_ms: list[float]
    by_hand_ms: list[float]
    cosine: float

    @property
    def ratio(self) -> Ratio | None:
        """Ours to by hand: the median of the ratios in turns, with its 95 % interval; None for fewer than 6 pairs."""
        return ratio_of_pairs(self.by_hand_ms, self.ours_ms)

    def __str__(self) -> str:
        ratio, (ours, hand) = self.ratio, ([percentile(one, 50) for one in (self.ours_ms, self.by_hand_ms)])
        text = "" if ratio is None else f"ratio {ratio.value:.3f} (95% {ratio.low:.3f} to {ratio.high:.3f}), "
        medians = f"p50 {significant(ours)} ms by the artifact and {significant(hand)} ms by hand"
        return (
            f"{text}{medians}, measured, n {len(self.ours_ms)} each in turns; cosine of both vectors {self.cosine:.6f}"
        )


def main() -> None:
    """Run the comparison and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--photo-px", type=parse_size, default=parse_size("3024x4032"))
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    size: Size = given.photo_px
    found = compare(given.artifact, size, queries=given.queries, threads=given.threads)
    print(f"JPEG of {size_text(size)} pixels, {given.threads} threads: {found}")  # noqa: T201  # the script's result


def compare(artifact: Path, photo_px: Size, *, queries: int, threads: int) -> Compared:
    """Time queries by an artifact and by hand, in turns.

    Args:
        artifact: Folder of an artifact for ONNX Runtime.
        photo_px: Size of the photograph.
        queries: Number of timed queries of each.
        threads: Intra-operator threads of both.

    Raises:
        UsageError: the artifact is of another runtime, or does not crop.
        Unreachable: the processor is emulated.
    """
    fingerprint().require_real()
    model = load(artifact, threads=threads)
    photo = photograph(photo_px)
    ways: tuple[Query, Query] = (lambda content: model.embed([content])[0], by_hand(model, threads=threads))
    ours, hand = (way(photo) for way in ways)
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(_WARMUP + queries):
        for way, found in zip(ways, times, strict=True):
            begin = time.perf_counter()
            way(photo)
            if index >= _WARMUP:
                found.append(1000 * (time.perf_counter() - begin))
    return Compared(*times, cosine=float(ours @ hand))


def by_hand(model: LoadedArtifact, *, threads: int) -> Query:
    """The same steps with Pillow and ONNX Runtime alone, as one writes them from the manifest.

    Raises:
        UsageError: the artifact is of another runtime, or does not crop.
    """
    manifest = model.manifest
    steps, (height, width) = manifest.preprocessing, manifest.preprocessing.frame
    if manifest.runtime.name != "onnxruntime" or steps.fit != "crop":
        raise UsageError(
            f"{model.folder} is for {manifest.runtime.name} with the fit {steps.fit}",
            hint="give one for onnxruntime with the fit crop",
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model.folder / manifest.entry), options)
    name = session.get_inputs()[0].name
    crop_height, crop_width = steps.size

    def embed(content: bytes) -> Vector:
        image: Image.Image = Image.open(BytesIO(content))
        image = ImageOps.exif_transpose(image).convert("RGB")
        scale = max(width / image.width, height / image.height)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (image.width - crop_width) // 2, (image.height - crop_height) // 2
        image = image.crop((left, top, left + crop_width, top + crop_height))
        pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
        vector: Vector = session.run(None, {name: np.ascontiguousarray(pixels)})[0][0]
        return vector

    return embed


if __name__ == "__main__":
    with script_errors():
        main()
