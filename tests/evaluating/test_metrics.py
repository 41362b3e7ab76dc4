"""Retrieval metrics: cases counted by hand, an independent implementation, and general properties."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.evaluating import _metrics
from prunnet_export.evaluating._metrics import (
    RetrievalMetrics,
    retrieval_metrics,
    spread,
    topk_overlap,
    worst_cosine,
)
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import ByLabel, Listed, Lists, Relevance
from tests._inputs import listed_by

Floats = npt.NDArray[np.float64]
Case = tuple[Floats, Floats, Relevance]


def _at(*degrees: float) -> Floats:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def _by_label(query: list[int], gallery: list[int]) -> ByLabel:
    return ByLabel(np.array(query), np.array(gallery))


def _within(labels: npt.NDArray[np.int64]) -> ByLabel:
    """Query and gallery are the same images."""
    return ByLabel(labels, labels, own=np.arange(len(labels)))


def _case(seed: int, *, queries: int = 7, gallery: int = 23, width: int = 5) -> Case:
    """Random embeddings whose labels all occur in the gallery."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), rng.integers(0, 4, gallery - 4)])
    query, images = rng.normal(size=(queries, width)), rng.normal(size=(gallery, width))
    return query, images, ByLabel(rng.integers(0, 4, queries), labels)


def _listed_case(seed: int, *, queries: int = 6, gallery: int = 19, width: int = 5) -> Case:
    """Random embeddings with random junk; the first query has a relevant image."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, (queries, gallery), p=[0.6, 0.25, 0.15])
    kinds[0, 0] = 1
    relevance = listed_by(kinds)
    return rng.normal(size=(queries, width)), rng.normal(size=(gallery, width)), relevance


def _naive(case: Case, protocol: Protocol) -> RetrievalMetrics:
    """A slow implementation for one query: sort by falling cosine, irrelevant images first among ties."""
    query, gallery, relevance = case
    hits: dict[int, list[bool]] = {k: [] for k in protocol.recall_at}
    precisions: dict[int, list[float]] = {k: [] for k in protocol.precision_at}
    averages, left_out = [], 0
    for q, x in enumerate(query):
        (relevant,), (junk,) = relevance.rows(q, q + 1)
        ranking = []
        for g, y in enumerate(gallery):
            if not junk[g]:
                cosine = round(float(x @ y / np.sqrt((x @ x) * (y @ y))) * 2**24)
                ranking.append((-cosine, bool(relevant[g])))
        order = [is_relevant for _, is_relevant in sorted(ranking)]
        if not any(order):
            left_out += 1
            continue
        total, found, last_recall, last_precision = 0.0, 0, 0.0, 1.0
        expected = min(sum(order), protocol.depth or len(order))
        for rank, is_relevant in enumerate(order[: protocol.depth], 1):
            found += is_relevant
            if protocol.trapezoid:  # the area under the curve, over every rank and not only the relevant ones
                total += (found / expected - last_recall) * (last_precision + found / rank) / 2
                last_recall, last_precision = found / expected, found / rank
            elif is_relevant:
                total += found / rank / expected
        averages.append(total)
        for k in protocol.recall_at:
            hits[k].append(any(order[:k]))
        last = max(rank for rank, is_relevant in enumerate(order, 1) if is_relevant)
        for k in protocol.precision_at:
            precisions[k].append(sum(order[: min(k, last)]) / min(k, last))
    return RetrievalMetrics(
        {k: sum(values) / len(values) for k, values in hits.items()},
        {k: sum(values) / len(values) for k, values in precisions.items()},
        sum(averages) / len(averages),
        len(averages),
        left_out,
    )


def assert_same_metrics(first: RetrievalMetrics, second: RetrievalMetrics) -> None:
    assert first.recall_at == pytest.approx(second.recall_at)
    assert first.precision_at == pytest.approx(second.precision_at)
    assert first.mean_average_precision == pytest.approx(second.mean_average_precision)
    assert (first.n_queries, first.n_left_out) == (second.n_queries, second.n_left_out)


def _recall(*ks: int) -> Protocol:
    return Protocol(recall_at=ks)


PROTOCOLS = [
    Protocol(recall_at=(1, 2, 5)),
    Protocol(depth=1),
    Protocol(depth=4, precision_at=(3,)),
    Protocol(depth=100),
    Protocol(trapezoid=True, precision_at=(1, 5, 10)),
]


class TestRetrievalMetrics:
    def test_counted_by_hand(self) -> None:
        # From 0 degrees the order is 10 (2), 20 (1), 35 (2), 80 (1): ranks 2 and 4, AP = (1/2 + 2/4) / 2.
        result = retrieval_metrics(
            _at(0, 90), _at(10, 20, 35, 80), _by_label([1, 2], [2, 1, 2, 1]), Protocol((1, 2, 4), (3, 9))
        )
        # From 90 the order is 80 (1), 35 (2), 20 (1), 10 (2): ranks 2 and 4 as well.
        assert result == RetrievalMetrics({1: 0.0, 2: 1.0, 4: 1.0}, {3: 1 / 3, 9: 0.5}, 0.5, 2)

    def test_first_hit_and_later_hit_by_hand(self) -> None:
        result = retrieval_metrics(_at(0), _at(5, 10, 15), _by_label([1], [1, 0, 1]))
        assert result.recall_at == {1: 1.0}
        assert result.mean_average_precision == pytest.approx((1 + 2 / 3) / 2)

    @pytest.mark.parametrize(
        ("protocol", "expected"),
        [
            (Protocol(), (1 + 2 / 3 + 3 / 5) / 3),
            (Protocol(depth=4), (1 + 2 / 3) / 3),  # the third is beyond the depth, but still counts as missed
            (Protocol(depth=2), 1 / 2),  # only two of the three can be found
            # The curve falls to 1/2 before it rises to 2/3, and to 2/4 before it rises to 3/5.
            (Protocol(trapezoid=True), (1 + (1 / 2 + 2 / 3) / 2 + (2 / 4 + 3 / 5) / 2) / 3),
        ],
        ids=str,
    )
    def test_average_precisions_by_hand(self, protocol: Protocol, expected: float) -> None:
        # Relevant at the ranks 1, 3 and 5.
        result = retrieval_metrics(_at(0), _at(1, 2, 3, 4, 5, 6), _by_label([1], [1, 0, 1, 0, 1, 0]), protocol)
        assert result.mean_average_precision == pytest.approx(expected)

    def test_junk_takes_no_rank(self) -> None:
        # The ranking of the previous test, with added junk.
        listed = Listed(Lists.of([[1, 4, 7]]), Lists.of([[0, 2, 5, 9]]), 10)
        result = retrieval_metrics(_at(0), _at(*range(1, 11)), listed, Protocol(precision_at=(1, 2, 5)))
        assert result.mean_average_precision == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
        assert result.precision_at == pytest.approx({1: 1, 2: 1 / 2, 5: 3 / 5})

    def test_precision_stops_at_the_last_relevant_rank(self) -> None:
        listed = Listed(Lists.of([[0], [1]]), Lists.of([[], []]), 3)
        result = retrieval_metrics(_at(0, 0), _at(1, 2, 3), listed, Protocol(precision_at=(10,)))
        assert result.precision_at == pytest.approx({10: (1 / 1 + 1 / 2) / 2})

    def test_queries_without_anything_relevant_are_left_out_and_counted(self) -> None:
        listed = Listed(Lists.of([[1], [], []]), Lists.of([[], [], [0]]), 2)
        result = retrieval_metrics(_at(0, 5, 9), _at(1, 2), listed)
        assert result == RetrievalMetrics({1: 0.0}, {}, 0.5, 1, 2)
        with pytest.raises(InvalidInput, match="no query has a relevant gallery image"):
            retrieval_metrics(_at(5, 9), _at(1, 2), listed.restricted(np.array([1, 2]), np.arange(2)))

    def test_own_image_is_taken_out(self) -> None:
        x, labels = _at(0, 1, 90, 92), np.array([0, 1, 1, 0])
        result = retrieval_metrics(x, x, _within(labels), _recall(1, 2, 3))
        assert result.recall_at == {1: 0.0, 2: 0.5, 3: 1.0}

    def test_figures_have_the_names_of_the_field(self) -> None:
        protocol = Protocol(recall_at=(1, 4), precision_at=(5,), depth=100)
        figures = retrieval_metrics(_at(0), _at(5, 10), _by_label([1], [0, 1]), protocol).figures(protocol)
        assert figures == {"R@1": 0.0, "R@4": 1.0, "mAP@100": 0.5, "mP@5": 0.5}

    def test_a_collapsed_embedder_scores_worst(self) -> None:
        same = np.ones((6, 3))
        labels = np.array([0, 0, 0, 1, 1, 1])
        result = retrieval_metrics(same, same, ByLabel(labels, labels), _recall(1, 3, 4))
        assert result.recall_at == {1: 0.0, 3: 0.0, 4: 1.0}

    def test_rows_that_differ_by_rounding_tie(self) -> None:
        query = np.array([[0.1, 0.2, 0.3]])
        gallery = query * np.array([[1.0], [1 / 3], [7.7]])
        result = retrieval_metrics(query, gallery, _by_label([1], [1, 0, 0]), _recall(1, 2, 3))
        assert result.recall_at == {1: 0.0, 2: 0.0, 3: 1.0}

    @pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
    @settings(max_examples=40)
    @given(seed=st.integers(0, 10_000), queries=st.integers(1, 9), gallery=st.integers(4, 30))
    def test_agrees_with_the_naive_implementation(
        self, protocol: Protocol, seed: int, queries: int, gallery: int
    ) -> None:
        for case in (_case(seed, queries=queries, gallery=gallery), _listed_case(seed, queries=queries)):
            assert_same_metrics(retrieval_metrics(*case, protocol), _naive(case, protocol))

    @pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
    @settings(max_examples=40)
    @given(seed=st.integers(0, 10_000))
    def test_agrees_with_the_naive_implementation_where_much_ties(self, protocol: Protocol, seed: int) -> None:
        query, gallery, relevance = _listed_case(seed, width=2)
        case = (np.sign(query), np.sign(gallery), relevance)
        assert_same_metrics(retrieval_metrics(*case, protocol), _naive(case, protocol))

    @given(seed=st.integers(0, 10_000))
    def test_agrees_with_the_naive_implementation_without_the_own_image(self, seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=(12, 4))
        case = (x, x, _within(np.arange(12) % 3))
        assert_same_metrics(retrieval_metrics(*case, _recall(1, 3)), _naive(case, _recall(1, 3)))

    @given(seed=st.integers(0, 10_000))
    def test_junk_is_as_if_the_gallery_did_not_have_it(self, seed: int) -> None:
        query, gallery, relevance = _listed_case(seed, queries=1)
        junk = relevance.rows(0, 1)[1][0]
        kept = relevance.restricted(np.arange(1), np.flatnonzero(~junk))
        assert retrieval_metrics(query, gallery, relevance) == retrieval_metrics(query, gallery[~junk], kept)

    @given(seed=st.integers(0, 10_000))
    def test_invariant_to_rotation_and_scale(self, seed: int) -> None:
        query, gallery, relevance = _case(seed)
        rng = np.random.default_rng(seed)
        rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        scaled = gallery * rng.uniform(0.1, 1e3, (len(gallery), 1))
        assert_same_metrics(
            retrieval_metrics(query, gallery, relevance),
            retrieval_metrics(query @ rotation, scaled @ rotation, relevance),
        )

    @given(seed=st.integers(0, 10_000))
    def test_invariant_to_the_order_of_the_gallery(self, seed: int) -> None:
        query, gallery, relevance = _listed_case(seed)
        order = np.random.default_rng(seed).permutation(len(gallery))
        assert_same_metrics(
            retrieval_metrics(query, gallery, relevance),
            retrieval_metrics(query, gallery[order], relevance.restricted(np.arange(len(query)), order)),
        )

    @given(seed=st.integers(0, 10_000))
    def test_searching_for_itself_finds_itself(self, seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=(15, 6))
        labels = np.arange(15)
        assert retrieval_metrics(x, x, ByLabel(labels, labels)) == RetrievalMetrics({1: 1.0}, {}, 1.0, 15)

    @given(seed=st.integers(0, 10_000))
    def test_recall_grows_with_the_depth(self, seed: int) -> None:
        recall = retrieval_metrics(*_case(seed), _recall(1, 2, 4, 8, 99)).recall_at
        assert list(recall.values()) == sorted(recall.values())
        assert recall[99] == 1.0

    def test_chunks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
        relevance = _within(np.arange(20) % 5)
        whole = retrieval_metrics(x, x, relevance)
        overlap = topk_overlap(x, x[:, ::-1], x, k=3, relevance=relevance)
        monkeypatch.setattr(_metrics, "_CHUNK", 45)
        assert_same_metrics(retrieval_metrics(x, x, relevance), whole)
        assert np.array_equal(topk_overlap(x, x[:, ::-1], x, k=3, relevance=relevance), overlap)


class TestTopkOverlap:
    def test_counted_by_hand(self) -> None:
        # The two nearest of 0 degrees are 5 and 20; those of 30 degrees are 20 and 40.
        assert topk_overlap(_at(0, 0), _at(0, 30), _at(5, 20, 40), k=2).tolist() == [1.0, 0.5]

    def test_own_image_is_taken_out(self) -> None:
        x = _at(0, 10, 50)
        relevance = _within(np.zeros(3, np.int64))
        assert topk_overlap(x, _at(0, 60, 50), x, k=1, relevance=relevance).tolist() == [1.0, 0.0, 1.0]

    def test_where_fewer_are_left_all_of_them_count(self) -> None:
        # Without junk, the first query has two images, and the second has all three.
        listed = Listed(Lists.of([[], []]), Lists.of([[0], []]), 3)
        a, b, gallery = _at(0, 0), _at(40, 30), _at(5, 20, 40)
        assert topk_overlap(a, b, gallery, k=3, relevance=listed).tolist() == [1.0, 1.0]
        assert topk_overlap(a, b, gallery, k=2, relevance=listed).tolist() == [1.0, 0.5]
        assert topk_overlap(a, b, gallery, k=1, relevance=listed).tolist() == [0.0, 0.0]

    def test_a_query_to_which_all_is_junk(self) -> None:
        listed = Listed(Lists.of([[]]), Lists.of([[0, 1]]), 2)
        with pytest.raises(InvalidInput, match="all of the gallery is junk"):
            topk_overlap(_at(0), _at(0), _at(1, 2), k=1, relevance=listed)

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
            retrieval_metrics(np.ones((2, 3)), np.ones((2, 4)), _by_label([0, 0], [0, 0]))

    def test_rows_have_to_pair(self) -> None:
        x = np.ones((2, 3))
        with pytest.raises(InvalidInput, match="2 queries against 1"):
            topk_overlap(x, x[:1], x, k=1)
        with pytest.raises(InvalidInput, match="shape"):
            worst_cosine(x, x[:1])

    @pytest.mark.parametrize("relevance", [_by_label([0, 0], [0] * 3), _by_label([0], [0, 0])])
    def test_the_relevance_is_of_other_images(self, relevance: ByLabel) -> None:
        x = np.ones((2, 3))
        with pytest.raises(InvalidInput, match=r"embeddings are of \(2, 2\)"):
            retrieval_metrics(x, x, relevance)
        with pytest.raises(InvalidInput, match=r"embeddings are of \(2, 2\)"):
            topk_overlap(x, x, x, relevance=relevance)

    @pytest.mark.parametrize("k", [0, -1])
    def test_neighbours(self, k: int) -> None:
        x = np.ones((3, 2))
        with pytest.raises(InvalidInput, match=f"the {k} nearest"):
            topk_overlap(x, x, x, k=k)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_inputs_are_left_alone(seed: int) -> None:
    query, gallery, relevance = _listed_case(seed)
    before = query.copy(), gallery.copy()
    retrieval_metrics(query, gallery, relevance)
    assert np.array_equal(query, before[0])
    assert np.array_equal(gallery, before[1])


def test_each_recall_has_the_interval_of_its_hits() -> None:
    draw = np.random.default_rng(0)
    query, gallery = draw.standard_normal((200, 4)), draw.standard_normal((40, 4))
    relevance = ByLabel(np.arange(200) % 8, np.arange(40) % 8)
    found = retrieval_metrics(query, gallery, relevance, Protocol(recall_at=(1, 5)))
    for k, (low, high) in found.recall_interval.items():
        assert low < found.recall_at[k] < high
        # About twice two standard errors of a proportion.
        wide = 4 * (found.recall_at[k] * (1 - found.recall_at[k]) / 200) ** 0.5
        assert high - low == pytest.approx(wide, rel=0.2)
    assert set(found.recall_interval) == {1, 5}
