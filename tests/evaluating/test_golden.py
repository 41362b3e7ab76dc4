from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest

from prunnet_export.artifact import Gate, GoldenEntry, Manifest
from prunnet_export.evaluating import Embeddings, ModelOnDevice, golden_gates, save_golden
from prunnet_export.evaluating._golden import golden_image
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.thresholds import Thresholds

STEPS = Preprocessing(crop=(8, 16), resize=(10, 20))
DIM = 8


@dataclass
class Means:
    """A model: mean and spread of each channel, and two constants. It can be wrong in one number."""

    wrong: float = 0.0

    def embed(self, inputs: list[Embeddings]) -> Embeddings:
        images = np.concatenate(inputs)
        left, top = images[..., : images.shape[3] // 2], images[:, :, : images.shape[2] // 2]
        parts = [images.mean(axis=(2, 3)), left.mean(axis=(2, 3)), top.mean(axis=(2, 3))[:, :2]]
        vectors: Embeddings = np.concatenate(parts, axis=1, dtype=np.float32)
        vectors[:, 0] += np.float32(self.wrong)
        return vectors


def model(*, wrong: float = 0.0) -> ModelOnDevice:
    return cast("ModelOnDevice", Means(wrong))


@pytest.fixture
def with_pair(manifest: Manifest, tmp_path: Path) -> Manifest:
    """The manifest of an artifact with a golden pair."""
    golden = save_golden(tmp_path, model(), STEPS)
    assert golden == GoldenEntry()
    network = msgspec.structs.replace(manifest.network, embedding_dim=DIM)
    verification = msgspec.structs.replace(manifest.verification, thresholds=Thresholds(parity=0.999))
    return msgspec.structs.replace(
        manifest, golden=golden, preprocessing=STEPS, network=network, verification=verification
    )


def gate(manifest: Manifest, folder: Path, tested: ModelOnDevice) -> Gate:
    [found] = golden_gates(folder, manifest, tested)
    return found


def test_the_same_model_gives_the_same_vector(with_pair: Manifest, tmp_path: Path) -> None:
    found = gate(with_pair, tmp_path, model())
    assert found.passed
    assert found.value == pytest.approx(1)
    assert (found.threshold, found.n) == (0.999, 2)


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_another_vector_fails(wrong: float, with_pair: Manifest, tmp_path: Path) -> None:
    assert not gate(with_pair, tmp_path, model(wrong=wrong)).passed


def test_the_png_is_decoded_and_resized_too(with_pair: Manifest, tmp_path: Path) -> None:
    golden_image(Preprocessing(crop=40, resize=40)).rotate(180).save(tmp_path / "golden" / "input.png")
    assert not gate(with_pair, tmp_path, model()).passed


def test_the_pixels_are_looked_at_too(with_pair: Manifest, tmp_path: Path) -> None:
    (tmp_path / "golden" / "pixels.u8").write_bytes(bytes(8 * 16 * 3 - 1) + b"\1")
    assert not gate(with_pair, tmp_path, model()).passed


def test_an_older_artifact_has_none(manifest: Manifest, tmp_path: Path) -> None:
    assert golden_gates(tmp_path, manifest, model()) == []


def test_a_vector_that_is_not_finite_is_no_pair(tmp_path: Path) -> None:
    assert save_golden(tmp_path, model(wrong=float("inf")), STEPS) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("frame", [1, 32, 224, (256, 128), 4096])
def test_the_image_is_small_and_shows_mistakes(frame: int | tuple[int, int]) -> None:
    image = golden_image(Preprocessing(crop=frame, resize=frame))
    assert max(image.size) <= 800
    pixels = np.asarray(image)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) >= min(4, pixels.shape[0] * pixels.shape[1])
    if min(image.size) > 8:
        for other in (pixels[::-1], pixels[:, ::-1], pixels[..., ::-1]):
            assert not np.array_equal(pixels, other)
