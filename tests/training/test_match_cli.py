"""``prunnet-train --match`` as users run it, with every kind of teacher that needs no other package."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from prunnet_export.network import build_embedder, load_checkpoint
from prunnet_export.network_config import TEACHER_FILE
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.teachers import load_sample, open_teacher, read_teacher_settings
from prunnet_export.training.cli import command
from tests._asserts import assert_same_tensors
from tests._cli import Ran, assert_error, call, environment, tiny_network
from tests._inputs import array_split, randomise
from tests.teachers._teachers import onnx_teacher

__all__ = ["environment", "tiny_network"]

COUNT, DIM = 80, 10
TINY = [
    "--backbone-option", "channels=8,16,24,32", "--crop-px", "16", "--batch-size", "6", "--epochs", "1",
    "--capacities", "0.6,0.3", "--channel-multiple", "4", "--learning-rate", "0.02",
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of images in class folders, without splits."""
    root = tmp_path_factory.mktemp("data") / "photos"
    split = array_split(COUNT, classes=4, side=24)
    for index, label in enumerate(split.labels):
        file = root / f"class-{label}" / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        split.image(index).save(file)
    return root


@pytest.fixture(scope="module")
def vectors(photos: Path) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """Vectors of all images by name, of any length."""
    draw = np.random.default_rng(0)
    names = sorted(file.relative_to(photos).as_posix() for file in photos.rglob("*.png"))
    return {name: draw.normal(1, 1, DIM).astype(np.float32) for name in names}


class Train:
    """Runs ``prunnet-train`` on the photographs with the tiny recipe."""

    def __init__(self, capfd: pytest.CaptureFixture[str], environment: dict[str, str], photos: Path) -> None:
        self._capfd, self._environment, self._photos = capfd, environment, photos

    def __call__(self, *options: str | Path, images: Path | None = None) -> Ran:
        return call(self._capfd, command, self._environment, images or self._photos, *TINY, *options)


@pytest.fixture
def train(capfd: pytest.CaptureFixture[str], environment: dict[str, str], photos: Path) -> Train:
    return Train(capfd, environment, photos)


def write(folder: Path, kind: str, vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]) -> Path:
    """The vectors in a file of a kind."""
    names, rows = list(vectors), np.stack(list(vectors.values()))
    file = folder / f"their.{kind}"
    if kind == "npz":
        np.savez(file, names=np.array(names), embeddings=rows)
    elif kind == "NPZ":
        write(folder, "npz", vectors).rename(file)
    elif kind == "npy":
        np.save(file, rows.astype(np.float16))
        (folder / "their.names.txt").write_text("\n".join(names) + "\n")
    elif kind == "faiss":
        faiss = pytest.importorskip("faiss")
        index = faiss.IndexFlatIP(DIM)
        index.add(rows)
        faiss.write_index(index, str(file))
        (folder / "their.names.txt").write_text("\n".join(names) + "\n")
    elif kind == "folder":
        file.mkdir()
        for part in (slice(0, 30), slice(30, None)):
            np.savez(file / f"{part.start}.npz", names=np.array(names[part]), embeddings=rows[part])
    else:
        pq.write_table(pa.table({"name": names, "embedding": list(rows)}), file)
    return file


@pytest.mark.parametrize("kind", ["npz", "NPZ", "npy", "parquet", "faiss", "folder"])
def test_files_of_vectors_train_a_network_of_their_length(
    train: Train, tmp_path: Path, kind: str, vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]
) -> None:
    ran = train("--match", write(tmp_path, kind, vectors), "--out", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[1].startswith(f"next:    prunnet-export --network {tmp_path / 'run'} --gallery ")
    config = load_checkpoint(tmp_path / "run").config
    assert config.embedding_dim == DIM
    assert config.teacher is not None
    assert (config.teacher.name, config.teacher.kind) == (f"their.{kind}", "vectors")
    sample = load_sample(tmp_path / "run" / TEACHER_FILE)
    assert set(sample.names) == set(vectors)
    for name, vector in zip(sample.names, sample.embeddings, strict=True):
        np.testing.assert_allclose(vector, vectors[name], rtol=1e-3, atol=1e-3)


def test_the_names_of_vectors_may_lie_elsewhere_and_others_are_refused_at_a_resume(
    train: Train, tmp_path: Path, vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]
) -> None:
    file = write(tmp_path, "npy", vectors)
    listed = (tmp_path / "their.names.txt").rename(tmp_path / "elsewhere.list")
    options = ("--match", file, "--teacher-names", listed, "--out", tmp_path / "run")
    assert train(*options).code == 0
    assert train(*options, "--resume").code == 0
    listed.write_text("\n".join(reversed(listed.read_text().split())))
    ran = train(*options, "--resume")
    assert_error(ran, 2)
    assert "the run to resume was started with match" in ran.err


@pytest.mark.parametrize("way", ["options", "settings"])
def test_an_onnx_file_is_a_teacher_with_its_settings(train: Train, tmp_path: Path, way: str) -> None:
    model, file = onnx_teacher(tmp_path / "m.onnx", side="side", outputs=["map"]), tmp_path / "m.settings"
    file.write_text('crop = [8, 12]\nmean = [0.5, 0.4, 0.3]\nstd = [1, 2, 3]\npool = "average"\n')
    texts = ("crop=8x12", "mean=0.5,0.4,0.3", "std=1,2,3", "pool=average")
    given: dict[str, list[str | Path]] = {
        "options": [word for text in texts for word in ("--teacher-option", text)],
        "settings": ["--teacher-settings", file],
    }
    ran = train("--match", model, *given[way], "--out", tmp_path / "run")
    assert ran.code == 0, ran.err
    teacher = load_checkpoint(tmp_path / "run").config.teacher
    assert teacher is not None
    assert teacher.sha256 == open_teacher(str(model), settings=read_teacher_settings(file)).identity


def test_the_order_of_the_vectors_does_not_matter_and_some_may_be_missing(
    train: Train, tmp_path: Path, vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]
) -> None:
    names = sorted(vectors)
    kept = {name: vectors[name] for name in names[:-4]}
    for folder, chosen in (("a", kept), ("b", dict(reversed(kept.items())))):
        (tmp_path / folder).mkdir()
        ran = train("--match", write(tmp_path / folder, "npz", chosen), "--out", tmp_path / folder / "run")
        assert ran.code == 0, ran.err
        assert f"4 of {COUNT} images have no vector" in ran.err
    first, second = (load_checkpoint(tmp_path / folder / "run").network.state_dict() for folder in "ab")
    assert_same_tensors(first, second)


def test_a_network_of_ours_is_a_teacher(train: Train, tmp_path: Path, tiny_network: Path) -> None:
    ran = train("--match", tiny_network, "--views", "2", "--out", tmp_path / "run")
    assert ran.code == 0, ran.err
    teacher = load_checkpoint(tiny_network)
    config = load_checkpoint(tmp_path / "run").config
    assert config.embedding_dim == teacher.config.embedding_dim
    assert config.teacher is not None
    assert (config.teacher.name, config.teacher.kind) == (tiny_network.name, "network")


def test_tar_shards_without_labels_are_images_too(
    train: Train, tmp_path: Path, photos: Path, vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]
) -> None:
    shards, renamed = tmp_path / "shards", {}
    shards.mkdir()
    for number, (name, vector) in enumerate(vectors.items()):
        with tarfile.open(shards / f"{number % 2}.tar", "a") as tar:
            tar.add(photos / name, arcname=f"{number:06}.png")
        renamed[f"{number:06}.png"] = vector
    file = write(tmp_path, "npz", renamed)
    ran = train("--match", file, "--out", tmp_path / "run", images=shards)
    assert ran.code == 0, ran.err
    assert set(load_sample(tmp_path / "run" / TEACHER_FILE).names) == set(renamed)
    assert_error(train("--out", tmp_path / "other", images=shards), 2)
    refused = train("--match", file, "--label-weight", "1", "--out", tmp_path / "other", images=shards)
    assert_error(refused, 2)
    assert "leave --label-weight out" in refused.err


def test_weights_are_their_own_teacher(train: Train, tmp_path: Path) -> None:
    torch.manual_seed(0)
    preprocessing = Preprocessing(crop=16, resize=18)
    source = build_embedder("resnet18", dim=4, preprocessing=preprocessing, options={"channels": [8, 16, 24, 32]})
    randomise(source)
    save_file(
        {name: one.contiguous() for name, one in source.backbone.state_dict().items()}, tmp_path / "w.safetensors"
    )
    out = tmp_path / "run"
    ran = train("--match", "self", "--weights", tmp_path / "w.safetensors", "--out", out)
    assert ran.code == 0, ran.err
    trained = load_checkpoint(out)
    assert trained.config.teacher is not None
    assert trained.config.teacher.kind == "self"
    assert trained.config.embedding_dim == 32


def test_labels_are_used_only_if_asked_for(
    train: Train, tmp_path: Path, vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]
) -> None:
    file = write(tmp_path, "npz", vectors)
    for weight in ("0", "0.5"):
        assert train("--match", file, "--label-weight", weight, "--out", tmp_path / weight).code == 0
    without, with_labels = (load_checkpoint(tmp_path / weight).network.state_dict() for weight in ("0", "0.5"))
    assert any(not torch.equal(without[name], with_labels[name]) for name in without)


class TestRefused:
    """Each case is one error line and one hint, exit code 2, and no folder."""

    @pytest.fixture
    def refused(self, train: Train, tmp_path: Path) -> object:
        def run(message: str, *options: str | Path) -> None:
            ran = train(*options, "--out", tmp_path / "run")
            assert_error(ran, 2)
            assert message in ran.err
            assert not (tmp_path / "run" / "recipe.json").exists()

        return run

    def test_options_that_do_not_go_together(
        self, refused: object, tmp_path: Path, tiny_network: Path, vectors: dict[str, object]
    ) -> None:
        assert callable(refused)
        file = write(tmp_path, "npz", vectors)  # type: ignore[arg-type]  # the same fixture
        refused("--embedding-dim", "--match", file, "--embedding-dim", "8")
        refused("--distillation", "--match", file, "--distillation", "1")
        refused("none is given", "--label-weight", "1")
        refused("none is given", "--views", "2")
        refused("holds vectors and no model", "--match", file, "--views", "2")
        refused("holds vectors and no model", "--match", file, "--teacher-option", "crop=16")
        refused("needs no names", "--match", tiny_network, "--teacher-names", file)
        refused("no weights", "--match", "self")
        refused("unknown field", "--match", tiny_network, "--teacher-option", "side=16")
        refused("three numbers", "--match", "m.onnx", "--teacher-option", "mean=0.5")
        refused("unknown architecture of timm", "--match", "timm:resnetXX")
        refused("KEY=VALUE", "--match", tiny_network, "--teacher-option", "crop")

    def test_vectors_that_cannot_be_used(
        self, refused: object, tmp_path: Path, vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]
    ) -> None:
        assert callable(refused)
        some = sorted(vectors)[5]
        for broken in (np.nan, 0.0):
            bad = {**vectors, some: np.full(DIM, broken, np.float32)}
            refused(some, "--match", write(tmp_path, "npz", bad))
        elsewhere = {f"shop/{name}": vector for name, vector in vectors.items()}
        refused(f"none of the {COUNT} images", "--match", write(tmp_path, "npz", elsewhere))
        np.savez(tmp_path / "twice.npz", names=np.array(["a", "a"]), embeddings=np.ones((2, 3), np.float32))
        refused("twice", "--match", tmp_path / "twice.npz")
        np.save(tmp_path / "bare.npy", np.ones((4, 3), np.float32))
        refused("which image", "--match", tmp_path / "bare.npy")
        refused("missing.npz", "--match", tmp_path / "missing.npz")
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes.txt").write_text("no vectors")
        for place in ("notes", "notes.txt", "nowhere"):
            refused("vectors are in .npy, .npz, .parquet or .safetensors", "--match", tmp_path / place)
        same = {name: np.arange(1, 4, dtype=np.float32) for name in vectors}
        refused("the same for all images", "--match", write(tmp_path, "npz", same))
        short = {name: vector[:1] for name, vector in vectors.items()}
        refused("have 1 dimension", "--match", write(tmp_path, "npz", short))

    @pytest.mark.parametrize("name", ["recipe.json", "network.safetensors"])
    def test_a_folder_of_another_run_before_the_teacher_is_opened(
        self, train: Train, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / name).write_bytes(b"precious")
        ran = train("--match", "nowhere.onnx", "--out", tmp_path)
        assert_error(ran, 2)
        assert "already holds a run" in ran.err or "without its run" in ran.err

    def test_another_teacher_at_a_resume(
        self, train: Train, tmp_path: Path, vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]
    ) -> None:
        out = tmp_path / "run"
        assert train("--match", write(tmp_path, "npz", vectors), "--out", out).code == 0
        other = {name: -vector for name, vector in vectors.items()}
        ran = train("--match", write(tmp_path, "npz", other), "--out", out, "--resume")
        assert_error(ran, 2)
        assert "match" in ran.err
