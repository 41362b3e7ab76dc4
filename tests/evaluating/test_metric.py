from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.evaluating._metric import as_inner_products, similarities
from prunnet_export.evaluating._metrics import retrieval_metrics, topk_overlap
from prunnet_export.relevance import ByLabel
from prunnet_export.vectors import Metric, nearest

METRICS: list[Metric] = ["cosine", "dot", "l2"]


def rows(count: int, *, seed: int, dim: int = 6) -> np.ndarray:
    draw = np.random.default_rng(seed)
    scaled: np.ndarray = (draw.normal(size=(count, dim)) * draw.uniform(0.2, 3, (count, 1))).astype(np.float32)
    return scaled


@given(st.integers(0, 999), st.sampled_from(METRICS))
def test_inner_products_rank_as_the_metric_does(seed: int, metric: Metric) -> None:
    queries, gallery = rows(5, seed=seed), rows(30, seed=seed + 1)
    a, b = as_inner_products(queries.astype(np.float64), gallery.astype(np.float64), metric)
    products = a @ b.T
    assert np.abs(products).max() <= 1 + 1e-12
    found = nearest(queries, gallery, 30, metric)
    np.testing.assert_array_equal(np.argsort(-products, axis=1, kind="stable"), found.indices)
    scores = np.take_along_axis(similarities(queries, gallery, metric), found.indices, axis=1)
    expected = -np.sqrt(-found.scores) if metric == "l2" else found.scores
    np.testing.assert_allclose(scores, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_search_as_asked(metric: Metric) -> None:
    queries, gallery = rows(40, seed=3), rows(200, seed=4)
    first = nearest(queries, gallery, 1, metric).indices[:, 0]
    labels = np.arange(200)
    judged = ByLabel(labels[first], labels)  # the nearest row is the only relevant one
    for searched_by in METRICS:
        recall = retrieval_metrics(queries, gallery, judged, metric=searched_by).recall_at[1]
        assert (recall == 1) == (searched_by == metric)
    overlaps = [topk_overlap(queries, 3 * queries, gallery, metric=searched_by).mean() for searched_by in METRICS]
    assert [overlap == 1 for overlap in overlaps] == [True, True, False]  # only distances depend on the query's length


def test_equal_vectors_have_no_distance() -> None:
    one = rows(4, seed=0)
    np.testing.assert_allclose(np.diag(similarities(one, one, "l2")), 0, atol=1e-6)
