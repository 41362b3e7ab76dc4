"""Vectors that a device computed with each mistake: the mistake is named, and correct vectors pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from prunnet_export.artifact import Manifest, load
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.benchmarks.drift._mistakes import CORRECT, MISTAKES, Mistake
from prunnet_export.building import export_onnx
from prunnet_export.network import load_checkpoint
from prunnet_export.network_config import DEMO
from prunnet_export.preprocessing import Preprocessing
from tests._cli import Ran, assert_error, call

MakeArtifact = Callable[..., Path]
Check = Callable[[Path, Path, Path], Ran]
PREPROCESSING = Preprocessing(crop=56, resize=64)
DIM = 128
# These change nothing where the manifest crops: they are what is right, or the same as another.
NOT_HERE = {CORRECT, "the image is cropped where it should be squashed or padded"}
CHANGING = [one for one in MISTAKES if one.name not in NOT_HERE]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo network: a network without training hardly tells one preprocessing from another."""
    file = tmp_path_factory.mktemp("demo") / "demo.onnx"
    export_onnx(load_checkpoint(DEMO).network.embedder, file, size=PREPROCESSING.size)
    return file


@pytest.fixture
def tiny_model(demo: Path) -> Callable[..., Path]:
    """The network of the artifacts of this module."""
    return lambda **_: demo


@pytest.fixture
def artifact(make_artifact: MakeArtifact, manifest: Manifest) -> Path:
    """An artifact of the demo network."""
    network = msgspec.structs.replace(manifest.network, embedding_dim=DIM)
    return make_artifact(preprocessing=PREPROCESSING, network=network)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve noisy images that are wider than high, with a colour of their own each."""
    folder = tmp_path / "images"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(12):
        pixels = draw.integers(0, 120, (90, 140, 3)) + draw.integers(0, 130, 3)
        pixels[:, :45] = draw.integers(0, 255, 3)  # the margin differs from the middle
        pixels[55:] = draw.integers(0, 255, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def opened(images: Path) -> dict[str, Image.Image]:
    return {f"{number}.png": Image.open(images / f"{number}.png").convert("RGB") for number in range(12)}


def store(file: Path, embeddings: np.ndarray, names: list[str]) -> Path:
    np.savez(file, embeddings=embeddings, names=np.array(names))
    return file


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str], environment: dict[str, str]) -> Check:
    """Runs the command on an artifact, a folder of images, and a file of vectors."""

    def run(artifact: Path, images: Path, vectors: Path) -> Ran:
        words = ("preprocessing", artifact, f"--images={images}", f"--vectors={vectors}", "--output-format=json")
        return call(capfd, bench, environment, *words)

    return run


@pytest.mark.parametrize("mistake", CHANGING, ids=lambda one: one.name)
def test_a_mistake_is_named(mistake: Mistake, check: Check, artifact: Path, images: Path, tmp_path: Path) -> None:
    pictures = opened(images)
    inputs = mistake.inputs(list(pictures.values()), PREPROCESSING)
    computed = load(artifact)._session.run(inputs)
    ran = check(artifact, images, store(tmp_path / "v.npz", 3 * computed, list(pictures)))  # they need no unit length
    document = json.loads(ran.out)
    assert (ran.code, document["verdict"]) == (1, mistake.name), document
    assert mistake.name in ran.err


def test_right_vectors_pass(check: Check, artifact: Path, images: Path, tmp_path: Path) -> None:
    pictures = opened(images)
    ran = check(artifact, images, store(tmp_path / "v.npz", load(artifact).embed(list(pictures.values())), [*pictures]))
    assert (ran.code, json.loads(ran.out)["verdict"]) == (0, CORRECT), ran.err


def test_what_no_mistake_explains(check: Check, artifact: Path, images: Path, tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(12, DIM)).astype(np.float32)
    ran = check(artifact, images, store(tmp_path / "v.npz", vectors, [*opened(images)]))
    assert ran.code == 1
    assert json.loads(ran.out)["ways"][0]["median"] < 0.99


@pytest.mark.parametrize(
    ("vectors", "names", "message"),
    [
        (np.ones((2, 7)), ["0.png", "1.png"], "length 7"),
        (np.ones((2, DIM)), ["0.png", "nothing.png"], "1 of 2 named images"),
        (np.full((2, DIM), np.nan), ["0.png", "1.png"], "NaN"),
        (np.zeros((2, DIM)), ["0.png", "1.png"], "zero"),
    ],
)
def test_vectors_that_do_not_fit(  # noqa: PLR0917  fixtures
    vectors: np.ndarray,
    names: list[str],
    message: str,
    check: Check,
    artifact: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    ran = check(artifact, images, store(tmp_path / "v.npz", vectors.astype(np.float32), names))
    assert_error(ran, 2, in_json=True)
    assert message in ran.err


def test_vectors_without_names(check: Check, artifact: Path, images: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((2, DIM), np.float32))
    ran = check(artifact, images, tmp_path / "v.npy")
    assert_error(ran, 2, in_json=True)
    assert "no names" in ran.err
