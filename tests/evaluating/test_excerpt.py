"""The rows of a large gallery that an artifact keeps give the figures of the whole gallery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.artifact import GalleryEntry
from prunnet_export.evaluating import Reference, _gallery
from prunnet_export.evaluating._gallery import Gallery
from prunnet_export.evaluating._search_gates import search_gates
from prunnet_export.evaluating._teacher_side import TeacherSide
from prunnet_export.relevance import ByLabel, Relevance
from prunnet_export.thresholds import Thresholds
from prunnet_export.vectors import Metric, open_vectors
from tests._inputs import array_split

N, M, DIM, CUT = 24, 900, 12, 8
KEPT_WHOLE = 100
FAR = 60  # with more labels than clusters, they are random


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gallery, "KEPT_WHOLE", KEPT_WHOLE)


def side(folder: Path, *, seed: int = 0, metric: Metric = "cosine", labels: int = 0, own: bool = False) -> TeacherSide:
    """Clustered vectors of different lengths in a file, and queries of the same clusters."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(60, DIM))
    groups, of_queries = draw.integers(0, 60, M), draw.integers(0, 60, N)
    rows = ((centres[groups] + 0.5 * draw.normal(size=(M, DIM))) * draw.uniform(0.5, 2, (M, 1))).astype(np.float32)
    queries = (centres[of_queries] + 0.5 * draw.normal(size=(N, DIM))).astype(np.float32)
    places = draw.choice(M, N, replace=False)
    if own:
        queries = rows[places].copy()
        of_queries = groups[places]
    np.save(folder / "g.npy", rows[:, :CUT])
    vectors = open_vectors(folder / "g.npy")
    entry = GalleryEntry(count=M, dim=CUT, stored="float32", metric=metric, unit=False, query_scale=1.5)
    relevance: Relevance | None = None
    if labels > FAR:  # relevant rows are anywhere
        groups, of_queries = draw.integers(0, labels, M), draw.integers(0, labels, N)
    if labels:
        relevance = ByLabel(of_queries % labels, groups % labels, own=places if own else None)
    return TeacherSide(array_split(N), queries, Gallery(vectors, entry), relevance)


def reference(of: TeacherSide, rows: np.ndarray | None) -> Reference:
    gallery, relevance = of.part(rows)
    return Reference(
        network="a" * 64,
        source="synthetic",
        images=(b"",) * N,
        teacher_queries=of.queries,
        subnetwork_queries=of.queries,
        gallery=gallery,
        entry=of.gallery.entry,
        relevance=relevance,
        rows=rows,
    )


def artifact(of: TeacherSide, *, noise: float, seed: int = 5) -> np.ndarray:
    rows = of.queries + noise * np.random.default_rng(seed).normal(size=of.queries.shape)
    unit: np.ndarray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    metric=st.sampled_from(["cosine", "dot", "l2"]),
    labels=st.sampled_from([0, 3, 60, 200]),
    own=st.booleans(),
    noise=st.sampled_from([0.0, 0.4, 5.0]),
)
def test_the_kept_rows_give_the_figures_of_the_whole_gallery(
    tmp_path_factory: pytest.TempPathFactory, *, seed: int, metric: Metric, labels: int, own: bool, noise: float
) -> None:
    of = side(tmp_path_factory.mktemp("g"), seed=seed, metric=metric, labels=labels, own=own)
    queries = artifact(of, noise=noise)
    rows = of.kept_rows(queries)
    assert rows is not None
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= N * 33 < M
    whole, part = (
        search_gates(queries, None, reference(of, one), Thresholds(parity=0.9)) for one in (np.arange(M), rows)
    )
    assert part == whole
    assert "cross_map" not in part[1]


def test_another_devices_answers_never_lower_the_overlap(tmp_path: Path) -> None:
    of = side(tmp_path)
    rows = of.kept_rows(artifact(of, noise=0.4))
    other = artifact(of, noise=0.8, seed=6)
    whole, part = (search_gates(other, None, reference(of, one), Thresholds())[0][0] for one in (np.arange(M), rows))
    assert part.value >= whole.value


def test_a_small_gallery_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gallery, "KEPT_WHOLE", M)
    of = side(tmp_path)
    assert of.kept_rows(artifact(of, noise=0.4)) is None
    assert of.part(None)[0].shape == (M, CUT)


def test_embeddings_that_are_not_finite_find_nothing(tmp_path: Path) -> None:
    of = side(tmp_path)
    queries = artifact(of, noise=0.4)
    broken = queries.copy()
    broken[3], broken[4] = np.nan, 0
    rows, fewer = of.kept_rows(queries), of.kept_rows(broken)
    assert rows is not None
    assert fewer is not None
    assert set(fewer) < set(rows)


def test_a_large_gallery_is_looked_through_before_the_export(tmp_path: Path) -> None:
    of = side(tmp_path)
    bad = of.gallery.embeddings.copy()
    bad[777] = 0
    np.save(tmp_path / "bad.npy", bad)
    broken = replace(of, gallery=replace(of.gallery, vectors=open_vectors(tmp_path / "bad.npy")))
    with pytest.raises(InvalidInput, match="vector 777 is zero"):
        broken.check(what="bad.npy")


def test_thresholds_are_of_pairs_that_do_not_match(tmp_path: Path) -> None:
    of = side(tmp_path, labels=3, own=True)
    relevant, junk = of.relevance.rows(0, N) if of.relevance else (None, None)
    assert relevant is not None
    assert junk is not None
    queries = artifact(of, noise=0.5)
    found = of.match_thresholds(queries)
    assert [one.pairs for one in found] == [int((~relevant & ~junk).sum())] * len(found)
    assert [round(one.false_accept_rate, 3) for one in found] == [0.01, 0.001]
    assert all(one.artifact < one.teacher for one in found)  # noise makes cosines smaller
    [asked] = of.match_thresholds(queries, asked=found[0].teacher)
    assert asked.artifact == found[0].artifact
