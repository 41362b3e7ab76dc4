"""As many healthy galleries are taken as galleries with a fault are refused, each with what contradicts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.evaluating import Evidence, TeacherSide
from prunnet_export.network import load_checkpoint
from prunnet_export.vectors import Metric
from tests._asserts import assert_one_line
from tests._cli import write_network
from tests._teacher import (
    TEACHER_DIM,
    RandomTeacher,
    Vectors,
    give_teacher,
    glyphs,
    images_of,
    in_one_tree,
    sample_of_split,
)

SPLIT = glyphs()
IMAGES = images_of(SPLIT)
NAMES = np.array(SPLIT.relative_names)
VECTORS = RandomTeacher()(IMAGES)
OTHER_IMAGES = RandomTeacher()(images_of(glyphs(seed=7)))
N, DIM = VECTORS.shape
DRAW = np.random.default_rng(0)
ORDER = DRAW.permutation(N)
DIMENSIONS = DRAW.permutation(DIM)
SIGNS = np.packbits(VECTORS > 0, axis=1)
CLASSES = np.array([f"class-{label:02}" for label in SPLIT.labels])

Build = Callable[[Path], Path]


def unit(vectors: Vectors) -> Vectors:
    normalised: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return normalised


def npz(vectors: npt.NDArray[Any], **arrays: Any) -> Build:
    """An .npz; its names are those of the data set unless they are given."""

    def build(folder: Path) -> Path:
        kept = {name: np.asarray(value) for name, value in {"names": NAMES, **arrays}.items() if value is not None}
        np.savez(folder / "g.npz", allow_pickle=False, embeddings=vectors, **kept)
        return folder / "g.npz"

    return build


def npy(vectors: npt.NDArray[Any], names: list[str] | None = None) -> Build:
    def build(folder: Path) -> Path:
        np.save(folder / "g.npy", vectors)
        if names is not None:
            (folder / "g.names.txt").write_text("\n".join(names) + "\n")
        return folder / "g.npy"

    return build


def parquet(folder: Path) -> Path:
    arrow = pytest.importorskip("pyarrow")
    rows = arrow.FixedSizeListArray.from_arrays(VECTORS.ravel(), DIM)
    table = arrow.table({"name": NAMES.tolist(), "embedding": rows})
    pytest.importorskip("pyarrow.parquet").write_table(table, folder / "g.parquet")
    return folder / "g.parquet"


def faiss(kind: str, vectors: Vectors) -> Build:
    def build(folder: Path) -> Path:
        engine = pytest.importorskip("faiss")
        index = getattr(engine, kind)(DIM)
        index.add(vectors)
        engine.write_index(index, str(folder / "g.faiss"))
        return folder / "g.faiss"

    return build


def codes_of(vectors: Vectors) -> Build:
    """A product quantiser of FAISS with names."""

    def build(folder: Path) -> Path:
        engine = pytest.importorskip("faiss")
        index = engine.IndexPQ(DIM, 8, 6)
        index.train(VECTORS)
        index.add(vectors)
        engine.write_index(index, str(folder / "g.faiss"))
        (folder / "g.names.txt").write_text("\n".join(NAMES) + "\n")
        return folder / "g.faiss"

    return build


def partly(other: Vectors, share: float) -> Vectors:
    """The teacher's vectors, a share of them replaced by others."""
    is_other = np.random.default_rng(3).permutation(N) < share * N
    return np.where(is_other[:, None], other, VECTORS)


def as_int8(vectors: Vectors) -> Build:
    scale = float(VECTORS.max()) / 127
    return npz(np.clip(np.rint(vectors / scale), -127, 127).astype(np.int8), scale=scale)


def partly_shuffled(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.where(np.random.default_rng(3).permutation(N) < N / 3, labels[ORDER], labels)


NEW_NAMES = [f"new/{row}.png" for row in range(N)]
NOISE = np.random.default_rng(1).normal(size=VECTORS.shape)
HALF = np.arange(N) % 2 == 0
RESCALED = VECTORS * np.random.default_rng(5).uniform(0.2, 5, (N, 1)).astype(np.float32)
SWAPPED = VECTORS[np.roll(np.arange(N), 60)]  # ten classes on
OTHER_MODEL = RandomTeacher(seed=1)(IMAGES)

HEALTHY: dict[str, tuple[Build, Metric | None]] = {
    "float32": (npz(VECTORS), None),
    "float16": (npz(VECTORS.astype(np.float16)), None),
    "int8": (as_int8(VECTORS), None),
    "binary codes": (npz(SIGNS), None),
    "no names": (npy(VECTORS), None),
    "names beside": (npy(VECTORS, NAMES.tolist()), None),
    "Parquet": (parquet, None),
    "FAISS, inner product": (faiss("IndexFlatIP", unit(VECTORS)), None),
    "FAISS, L2": (faiss("IndexFlatL2", VECTORS), None),
    "FAISS, product quantiser": (codes_of(VECTORS), "l2"),
    "normalised, searched by L2": (npz(unit(VECTORS), metric="l2"), None),
    "other lengths, searched by cosine": (npz(100 * VECTORS), "cosine"),
    "the first half of the dimensions": (npz(unit(VECTORS[:, : DIM // 2])), None),
    "labels as text": (npz(VECTORS, labels=CLASSES), None),
    "labels as numbers": (npz(VECTORS, labels=SPLIT.labels, names=None), None),
    "half of the images": (npz(VECTORS[HALF], names=NAMES[HALF]), None),
    "other images without names": (npy(OTHER_IMAGES), None),
    "other images with names": (npz(OTHER_IMAGES, names=[f"new/{name}" for name in NAMES]), None),
    "searched by dot product": (npz(VECTORS, metric="dot"), "dot"),
    "searched by L2": (npz(VECTORS), "l2"),
    "int8, searched by L2": (as_int8(VECTORS), "l2"),
    "all equally longer, searched by dot product": (npz(100 * VECTORS), "dot"),
    "half of the dimensions, searched by L2": (npz(VECTORS[:, : DIM // 2]), "l2"),
    "lengths at random, searched by cosine": (npz(RESCALED), "cosine"),
    "another order": (npz(VECTORS[ORDER], names=NAMES[ORDER], labels=CLASSES[ORDER]), None),
    "another processor": (npz((VECTORS + 1e-3 * NOISE).astype(np.float32)), None),
    "another decoder": (npz((VECTORS + 3e-2 * NOISE).astype(np.float32)), None),
    "one image changed": (npz(np.where(np.arange(N)[:, None] == 5, OTHER_IMAGES, VECTORS)), None),
}

FAULTY: dict[str, tuple[Build, Metric | None, str]] = {
    "another model": (npz(OTHER_MODEL), None, "another model"),
    "a tenth of another model": (npz(partly(OTHER_MODEL, 0.1)), None, "24 have other .* another model"),
    "a third of another model": (npz(partly(OTHER_MODEL, 0.33).astype(np.float16)), None, "those of another model"),
    "a third of another model, int8": (as_int8(partly(OTHER_MODEL, 0.33)), None, "those of another model"),
    "a tenth of the rows swapped": (npz(partly(SWAPPED, 0.1)), None, "the rows were mixed"),
    "a third of the rows swapped": (npz(partly(SWAPPED, 0.33).astype(np.float16)), None, "the rows were mixed"),
    "half of the rows swapped": (npz(partly(SWAPPED, 0.5)), None, "the rows were mixed"),
    "a tenth of the codes swapped": (npz(np.packbits(partly(SWAPPED, 0.1) > 0, axis=1)), None, "the rows were mixed"),
    "a third as BGR": (npz(partly(RandomTeacher(bgr=True)(IMAGES), 0.33)), None, "BGR in place of RGB"),
    "binary codes of BGR": (npz(np.packbits(RandomTeacher(bgr=True)(IMAGES) > 0, axis=1)), None, "BGR in place of RGB"),
    "shuffled rows, product quantiser": (codes_of(VECTORS[ORDER]), "l2", "have other vectors"),
    "another model, no names": (npy(RandomTeacher(seed=1)(IMAGES)), None, "no name in it .* another model"),
    "permuted dimensions": (npz(VECTORS[:, DIMENSIONS]), None, "dimensions are in another order"),
    "permuted dimensions, no names": (npy(VECTORS[:, DIMENSIONS]), None, "no name in it .* another order"),
    "a missing mean": (npz(VECTORS - VECTORS.mean(0)), None, "a mean was subtracted|near the model's"),
    "a missing mean, no names": (npy(VECTORS - VECTORS.mean(0)), None, "no name in it .* a mean was subtracted"),
    "BGR": (npz(RandomTeacher(bgr=True)(IMAGES)), None, "BGR in place of RGB"),
    "another size": (npz(RandomTeacher(size=8)(IMAGES)), None, "another size"),
    "a little other size": (npz(RandomTeacher(size=12)(IMAGES)), None, "another size"),
    "shuffled rows": (npz(VECTORS[ORDER]), None, "the rows were mixed"),
    "shuffled rows, labels alone": (npz(VECTORS[ORDER], labels=CLASSES, names=None), None, "a random search"),
    "shuffled labels": (npz(VECTORS, labels=CLASSES[ORDER]), None, "the folders of their names"),
    "shuffled labels, new names": (npz(VECTORS, labels=CLASSES[ORDER], names=NEW_NAMES), None, "a random search"),
    "shuffled labels as numbers": (npz(VECTORS, labels=SPLIT.labels[ORDER], names=NEW_NAMES), None, "a random search"),
    "a third of the labels shuffled": (
        npz(VECTORS, labels=partly_shuffled(CLASSES)),
        None,
        "the folders of their names",
    ),
    "a third of the numbers shuffled": (
        npz(VECTORS, labels=partly_shuffled(SPLIT.labels)),
        None,
        "labels in it than in",
    ),
    "labels of another data set": (
        npz(VECTORS, labels=SPLIT.labels + 1000, names=NEW_NAMES),
        None,
        "relevant images of 0 of the",
    ),
    "longer": (npz(RandomTeacher(dim=DIM + 1)(IMAGES)), None, "the length 65, the teacher's have 64"),
    "shorter": (npz(RandomTeacher(dim=DIM // 2)(IMAGES)), None, "have other vectors"),
    "shorter, no names": (npy(VECTORS[:, : DIM // 2]), None, "the length 32, the teacher's have 64"),
    "flipped signs": (npz(-VECTORS), None, "the signs were flipped"),
    "whitened": (npz(VECTORS * DRAW.uniform(0.3, 3, DIM)), None, "the dimensions are scaled differently"),
    "codes of reversed bits": (npz(np.packbits(VECTORS > 0, axis=1, bitorder="little")), None, "in reverse order"),
    "searched by another metric": (npz(VECTORS, metric="dot"), "cosine", "stated as cosine, but the file says dot"),
    "FAISS for another metric": (faiss("IndexFlatL2", VECTORS), "dot", "stated as dot, but the file says l2"),
    "lengths at random, dot product": (npz(RESCALED), "dot", "240 vectors have other lengths"),
    "lengths at random, L2": (npz(RESCALED.astype(np.float16)), "l2", "have other lengths"),
    "a tenth of the lengths at random": (npz(partly(RESCALED, 0.1)), "dot", "have other lengths"),
    "all equally longer, L2": (npz(100 * VECTORS), "l2", "100 times as long as the teacher's"),
    "a zero": (npz(np.where(np.arange(N)[:, None] == 7, 0, VECTORS)), None, "vector 7 .* is zero"),
}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    folder = write_network(tmp_path_factory.mktemp("networks") / "taught", dim=TEACHER_DIM)
    give_teacher(folder, sample_of_split(SPLIT, VECTORS))
    return Evidence(load_checkpoint(folder), in_one_tree(SPLIT), 500, 1000)


def opened(evidence: Evidence, build: Build, metric: Metric | None, folder: Path) -> TeacherSide:
    """The side of a network with a gallery, as an export makes it before it searches."""
    return evidence.with_gallery(build(folder), metric=metric).teacher_side()


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_gallery_is_taken(name: str, evidence: Evidence, tmp_path: Path) -> None:
    build, metric = HEALTHY[name]
    side = opened(evidence, build, metric, tmp_path)
    assert len(side.queries) >= 40
    assert side.gallery.entry.made_by == "teacher"


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_named_and_refused(name: str, evidence: Evidence, tmp_path: Path) -> None:
    build, metric, contradiction = FAULTY[name]
    with pytest.raises(InvalidInput, match=contradiction) as caught:
        opened(evidence, build, metric, tmp_path)
    assert_one_line(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_a_gallery_of_the_network_itself_is_not_the_teachers(evidence: Evidence, tmp_path: Path) -> None:
    opened(evidence, npz(VECTORS, network="b" * 64), None, tmp_path)  # the teacher may be a network, too
    with pytest.raises(InvalidInput, match="made by this network, not by its teacher"):
        opened(evidence, npz(VECTORS, network=evidence.checkpoint.config.weights_sha256), None, tmp_path)


def test_there_are_as_many_of_both() -> None:
    assert min(len(HEALTHY), len(FAULTY)) >= 20


def test_distances_to_a_gallery_that_only_one_side_normalises(evidence: Evidence, tmp_path: Path) -> None:
    folder = write_network(tmp_path / "unit", dim=TEACHER_DIM)
    give_teacher(folder, sample_of_split(SPLIT, unit(VECTORS)))
    normalised = replace(evidence, checkpoint=load_checkpoint(folder))
    opened(normalised, npz(VECTORS), "cosine", tmp_path)
    opened(normalised, npz(VECTORS), "dot", tmp_path)  # nothing says which lengths the teacher's own vectors have
    with pytest.raises(InvalidInput, match="only one of them is normalised"):
        opened(normalised, npz(VECTORS), "l2", tmp_path)
