"""Retrieval metrics: cases counted by hand, an independent implementation, and what has to hold of any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.verification import _metrics
from prunnet_export.verification._metrics import (
    RetrievalMetrics,
    retrieval_metrics,
    spread,
    topk_overlap,
    worst_cosine,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Case = tuple[Floats, Floats, Ints, Ints]


def _at(*degrees: float) -> Floats:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def _case(seed: int, *, queries: int = 7, gallery: int = 23, width: int = 5) -> Case:
    """Random embeddings whose labels all occur in the gallery."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), rng.integers(0, 4, gallery - 4)])
    query, images = rng.normal(size=(queries, width)), rng.normal(size=(gallery, width))
    return query, images, rng.integers(0, 4, queries), labels


def _naive(case: Case, ks: tuple[int, ...], *, exclude_self: bool = False) -> RetrievalMetrics:
    """One query, one image at a time: sort by falling cosine, irrelevant first, and walk the list."""
    query, gallery, query_labels, gallery_labels = case
    hits: dict[int, list[bool]] = {k: [] for k in ks}
    precisions = []
    for q, x in enumerate(query):
        ranking = []
        for g, y in enumerate(gallery):
            if not (exclude_self and q == g):
                cosine = round(float(x @ y / np.sqrt((x @ x) * (y @ y))) * 2**24)
                ranking.append((-cosine, bool(gallery_labels[g] == query_labels[q])))
        found, precision = 0, []
        order = [relevant for _, relevant in sorted(ranking)]
        for rank, relevant in enumerate(order, 1):
            if relevant:
                found += 1
                precision.append(found / rank)
        precisions.append(sum(precision) / len(precision))
        for k in ks:
            hits[k].append(any(order[:k]))
    return RetrievalMetrics(
        {k: sum(values) / len(values) for k, values in hits.items()}, sum(precisions) / len(query), len(query)
    )


def assert_same_metrics(first: RetrievalMetrics, second: RetrievalMetrics) -> None:
    assert first.recall_at == pytest.approx(second.recall_at)
    assert first.mean_average_precision == pytest.approx(second.mean_average_precision)
    assert first.n_queries == second.n_queries


class TestRetrievalMetrics:
    def test_counted_by_hand(self) -> None:
        # From 0 degrees the order is 10 (2), 20 (1), 35 (2), 80 (1): ranks 2 and 4, AP = (1/2 + 2/4) / 2.
        result = retrieval_metrics(
            _at(0, 90), _at(10, 20, 35, 80), np.array([1, 2]), np.array([2, 1, 2, 1]), ks=(1, 2, 4)
        )
        # From 90 the order is 80 (1), 35 (2), 20 (1), 10 (2): ranks 2 and 4 as well.
        assert result == RetrievalMetrics({1: 0.0, 2: 1.0, 4: 1.0}, 0.5, 2)

    def test_first_hit_and_later_hit_by_hand(self) -> None:
        result = retrieval_metrics(_at(0), _at(5, 10, 15), np.array([1]), np.array([1, 0, 1]), ks=(1,))
        assert result.recall_at == {1: 1.0}
        assert result.mean_average_precision == pytest.approx((1 + 2 / 3) / 2)

    def test_own_image_is_taken_out(self) -> None:
        x, labels = _at(0, 1, 90, 92), np.array([0, 1, 1, 1])
        with pytest.raises(InvalidInput, match=r"query 0 \(label 0\)"):
            retrieval_metrics(x, x, labels, labels, exclude_self=True)
        labels = np.array([0, 1, 1, 0])
        result = retrieval_metrics(x, x, labels, labels, exclude_self=True, ks=(1, 2, 3))
        assert result.recall_at == {1: 0.0, 2: 0.5, 3: 1.0}

    def test_a_collapsed_embedder_scores_worst(self) -> None:
        same = np.ones((6, 3))
        labels = np.array([0, 0, 0, 1, 1, 1])
        result = retrieval_metrics(same, same, labels, labels, ks=(1, 3, 4))
        assert result.recall_at == {1: 0.0, 3: 0.0, 4: 1.0}

    def test_rows_that_differ_by_rounding_tie(self) -> None:
        query = np.array([[0.1, 0.2, 0.3]])
        gallery = query * np.array([[1.0], [1 / 3], [7.7]])
        result = retrieval_metrics(query, gallery, np.array([1]), np.array([1, 0, 0]), ks=(2, 3))
        assert result.recall_at == {2: 0.0, 3: 1.0}

    @given(seed=st.integers(0, 10_000), queries=st.integers(1, 9), gallery=st.integers(4, 30))
    def test_agrees_with_the_naive_implementation(self, seed: int, queries: int, gallery: int) -> None:
        case = _case(seed, queries=queries, gallery=gallery)
        assert_same_metrics(retrieval_metrics(*case, ks=(1, 2, 5)), _naive(case, (1, 2, 5)))

    @given(seed=st.integers(0, 10_000))
    def test_agrees_with_the_naive_implementation_where_much_ties(self, seed: int) -> None:
        query, gallery, query_labels, gallery_labels = _case(seed, width=2)
        case = (np.sign(query), np.sign(gallery), query_labels, gallery_labels)
        assert_same_metrics(retrieval_metrics(*case, ks=(1, 4)), _naive(case, (1, 4)))

    @given(seed=st.integers(0, 10_000))
    def test_agrees_with_the_naive_implementation_without_the_own_image(self, seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=(12, 4))
        labels = np.arange(12) % 3
        result = retrieval_metrics(x, x, labels, labels, exclude_self=True, ks=(1, 3))
        assert_same_metrics(result, _naive((x, x, labels, labels), (1, 3), exclude_self=True))

    @given(seed=st.integers(0, 10_000))
    def test_invariant_to_rotation_and_scale(self, seed: int) -> None:
        query, gallery, *labels = _case(seed)
        rng = np.random.default_rng(seed)
        rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        scaled = gallery * rng.uniform(0.1, 1e3, (len(gallery), 1))
        assert_same_metrics(
            retrieval_metrics(query, gallery, *labels),
            retrieval_metrics(query @ rotation, scaled @ rotation, *labels),
        )

    @given(seed=st.integers(0, 10_000))
    def test_invariant_to_the_order_of_the_gallery(self, seed: int) -> None:
        query, gallery, query_labels, gallery_labels = _case(seed)
        order = np.random.default_rng(seed).permutation(len(gallery))
        assert_same_metrics(
            retrieval_metrics(query, gallery, query_labels, gallery_labels),
            retrieval_metrics(query, gallery[order], query_labels, gallery_labels[order]),
        )

    @given(seed=st.integers(0, 10_000))
    def test_searching_for_itself_finds_itself(self, seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=(15, 6))
        labels = np.arange(15)
        assert retrieval_metrics(x, x, labels, labels, ks=(1,)) == RetrievalMetrics({1: 1.0}, 1.0, 15)

    @given(seed=st.integers(0, 10_000))
    def test_recall_grows_with_the_depth(self, seed: int) -> None:
        recall = retrieval_metrics(*_case(seed), ks=(1, 2, 4, 8, 99)).recall_at
        assert list(recall.values()) == sorted(recall.values())
        assert recall[99] == 1.0

    def test_chunks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
        labels = np.arange(20) % 5
        whole = retrieval_metrics(x, x, labels, labels, exclude_self=True)
        overlap = topk_overlap(x, x[:, ::-1], x, k=3, exclude_self=True)
        monkeypatch.setattr(_metrics, "_CHUNK", 45)
        assert_same_metrics(retrieval_metrics(x, x, labels, labels, exclude_self=True), whole)
        assert np.array_equal(topk_overlap(x, x[:, ::-1], x, k=3, exclude_self=True), overlap)


class TestTopkOverlap:
    def test_counted_by_hand(self) -> None:
        # The two nearest of 0 degrees are 5 and 20; those of 30 degrees are 20 and 40.
        assert topk_overlap(_at(0, 0), _at(0, 30), _at(5, 20, 40), k=2).tolist() == [1.0, 0.5]

    def test_own_image_is_taken_out(self) -> None:
        x = _at(0, 10, 50)
        assert topk_overlap(x, _at(0, 60, 50), x, k=1, exclude_self=True).tolist() == [1.0, 0.0, 1.0]

    @given(seed=st.integers(0, 10_000), k=st.integers(1, 23))
    def test_agrees_with_sets(self, seed: int, k: int) -> None:
        a, gallery, *_ = _case(seed)
        b = a + np.random.default_rng(seed).normal(size=a.shape) / 2
        near = [np.argsort(-(x @ gallery.T) / np.linalg.norm(gallery, axis=1), axis=1)[:, :k] for x in (a, b)]
        expected = [len({*one} & {*two}) / k for one, two in zip(*near, strict=True)]
        assert topk_overlap(a, b, gallery, k=k) == pytest.approx(expected)

    @given(seed=st.integers(0, 10_000), k=st.integers(1, 22))
    def test_an_embedder_agrees_with_itself_even_where_all_ties(self, seed: int, k: int) -> None:
        query, gallery, *_ = _case(seed, width=2)
        assert topk_overlap(np.sign(query), np.sign(query), np.sign(gallery), k=k).tolist() == [1.0] * len(query)


class TestSpread:
    def test_by_hand(self) -> None:
        assert spread(np.ones((5, 3))) == pytest.approx(0)
        assert spread(np.eye(4)) == pytest.approx(1)
        assert spread(_at(0, 180)) == pytest.approx(2)

    @given(seed=st.integers(0, 10_000), n=st.integers(2, 20))
    def test_closed_form_is_the_mean_over_pairs(self, seed: int, n: int) -> None:
        x = np.random.default_rng(seed).normal(size=(n, 4))
        u = x / np.linalg.norm(x, axis=1, keepdims=True)
        pairs = (u @ u.T)[~np.eye(n, dtype=bool)]
        assert spread(x) == pytest.approx(1 - pairs.mean())

    def test_one_row_has_no_pair(self) -> None:
        with pytest.raises(InvalidInput, match="single"):
            spread(np.ones((1, 3)))


class TestWorstCosine:
    def test_is_the_minimum_over_rows(self) -> None:
        assert worst_cosine(_at(0, 0, 0), _at(10, 60, 20)) == pytest.approx(0.5)

    @given(seed=st.integers(0, 10_000))
    def test_is_one_for_the_same_and_never_more(self, seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=(8, 16)).astype(np.float32)
        assert worst_cosine(x, 3 * x) == pytest.approx(1)
        assert worst_cosine(x, 3 * x) <= 1

    def test_survives_lengths_whose_squares_overflow(self) -> None:
        assert worst_cosine(_at(0) * 1e300, _at(60) * 1e-300) == pytest.approx(0.5)


class TestHostileInput:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_first_row_that_is_not_finite_is_named(self, value: float, dtype: type[np.floating]) -> None:
        x = np.ones((9, 3), dtype)
        x[4, 1] = x[7, 0] = value
        with pytest.raises(InvalidInput, match="gallery: row 4") as caught:
            topk_overlap(np.ones((2, 3)), np.ones((2, 3)), x, k=1)
        assert caught.value.hint

    def test_zero_row_is_named(self) -> None:
        with pytest.raises(InvalidInput, match="b: row 1"):
            worst_cosine(np.ones((2, 2)), np.array([[1, 1], [0, 0]]))

    @pytest.mark.parametrize(
        "bad",
        [
            np.ones(3),
            np.ones((0, 3)),
            np.ones((2, 0)),
            np.ones((2, 3, 1)),
            np.array([["a"]]),
            np.array([[None]]),
        ],
    )
    def test_shape_and_type(self, bad: npt.NDArray[np.generic]) -> None:
        with pytest.raises(InvalidInput, match=r"embeddings is a .* array of shape"):
            spread(bad)

    def test_widths_have_to_agree(self) -> None:
        with pytest.raises(InvalidInput, match=r"query has the shape \(2, 3\) and gallery \(2, 4\)"):
            retrieval_metrics(np.ones((2, 3)), np.ones((2, 4)), np.zeros(2, int), np.zeros(2, int))

    def test_rows_have_to_pair(self) -> None:
        x = np.ones((2, 3))
        with pytest.raises(InvalidInput, match="shape"):
            retrieval_metrics(x, np.ones((3, 3)), np.zeros(2, int), np.zeros(3, int), exclude_self=True)
        with pytest.raises(InvalidInput, match="2 queries against 1"):
            topk_overlap(x, x[:1], x, k=1)
        with pytest.raises(InvalidInput, match="shape"):
            worst_cosine(x, x[:1])

    @pytest.mark.parametrize("labels", [np.zeros(3, int), np.zeros(2), np.zeros((2, 1), int)])
    def test_labels(self, labels: Ints) -> None:
        with pytest.raises(InvalidInput, match="2 gallery embeddings"):
            retrieval_metrics(np.ones((2, 3)), np.ones((2, 3)), np.zeros(2, int), labels)

    @pytest.mark.parametrize("ks", [(), (0,), (1, -1)])
    def test_depths(self, ks: tuple[int, ...]) -> None:
        with pytest.raises(InvalidInput, match="recall is asked for"):
            retrieval_metrics(np.ones((1, 3)), np.ones((1, 3)), np.zeros(1, int), np.zeros(1, int), ks=ks)

    @pytest.mark.parametrize(("k", "exclude_self"), [(0, False), (4, False), (3, True)])
    def test_neighbours(self, k: int, exclude_self: bool) -> None:
        x = np.ones((3, 2))
        with pytest.raises(InvalidInput, match=f"the {k} nearest"):
            topk_overlap(x, x, x, k=k, exclude_self=exclude_self)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_inputs_are_left_alone(seed: int) -> None:
    query, gallery, *labels = _case(seed)
    before = query.copy(), gallery.copy()
    retrieval_metrics(query, gallery, *labels)
    assert np.array_equal(query, before[0])
    assert np.array_equal(gallery, before[1])
