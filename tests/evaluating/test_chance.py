from __future__ import annotations

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.evaluating._chance import check_better_than_chance
from prunnet_export.relevance import ByLabel
from tests._asserts import assert_one_line


def data(classes: int, queries: int, per_class: int = 10) -> ByLabel:
    return ByLabel(np.arange(queries) % classes, np.repeat(np.arange(classes), per_class))


@pytest.mark.parametrize(
    ("recall", "classes", "queries"),
    [(0.1, 1000, 500), (0.04, 100, 500), (0.35, 10, 200), (0.7, 2, 200), (0.9, 2, 20), (0.02, 1000, 100), (1.0, 2, 20)],
)
def test_what_a_weak_teacher_finds_is_above_chance(recall: float, classes: int, queries: int) -> None:
    check_better_than_chance(recall, data(classes, queries), what="g.npy")


@pytest.mark.parametrize(
    ("recall", "classes", "queries"),
    [
        (0.0, 1000, 500),
        (0.002, 1000, 500),
        (0.03, 100, 500),
        (0.15, 10, 200),
        (0.53, 2, 200),
        (0.6, 2, 20),
        (0.01, 1000, 100),
    ],
)
def test_what_chance_finds_is_refused(recall: float, classes: int, queries: int) -> None:
    with pytest.raises(InvalidInput, match=r"g\.npy: the teacher's own queries find") as caught:
        check_better_than_chance(recall, data(classes, queries), what="g.npy")
    assert_one_line(caught.value)
    assert f"{1 / classes:.1%}" in caught.value.message


def test_a_random_order_is_refused_99_times_of_100() -> None:
    draw = np.random.default_rng(0)
    for classes in (2, 10, 100, 1000):
        relevance = data(classes, 200)
        refused = [is_refused(hits / 200, relevance) for hits in draw.binomial(200, 1 / classes, 300)]
        assert refused.count(False) <= 9


def is_refused(recall: float, relevance: ByLabel) -> bool:
    try:
        check_better_than_chance(recall, relevance, what="g.npy")
    except InvalidInput:
        return True
    return False


def test_a_network_that_has_learned_nothing_is_named() -> None:
    with pytest.raises(InvalidInput, match="the dense network's queries find") as caught:
        check_better_than_chance(0.03, data(100, 500), what=None)
    assert_one_line(caught.value)
    assert "1.0%" in caught.value.message


def test_few_queries_prove_nothing() -> None:
    check_better_than_chance(0, data(10, 19), what="g.npy")
