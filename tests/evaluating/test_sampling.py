from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating._sampling import choose
from prunnet_export.relevance import Listed, Lists
from prunnet_export.training.data._arrays import ArraySplit
from tests._asserts import assert_one_line
from tests._inputs import listed_by

Labels = list[int]
labels = st.lists(st.integers(0, 5), min_size=2, max_size=40)
limits = st.integers(2, 45)


def split(of: Labels) -> ArraySplit:
    return ArraySplit(np.zeros((len(of), 2, 2, 3), np.uint8), np.array(of, np.int64))


def data(query: Labels, gallery: Labels, *, exclude_self: bool = False) -> RetrievalData:
    return RetrievalData("synthetic", split([0]), split(query), split(gallery), exclude_self=exclude_self)


@given(labels, labels, limits, limits, st.integers(0, 3))
def test_limits_order_and_determinism(query: Labels, gallery: Labels, most: int, many: int, seed: int) -> None:
    assume(set(query) & set(gallery))
    source = data(query, gallery)
    try:
        queries, images = choose(source, max_queries=most, max_gallery=many, seed=seed)
    except InvalidInput:
        assume(False)
    again = choose(source, max_queries=most, max_gallery=many, seed=seed)
    for one, other, limit, size in zip((queries, images), again, (most, many), (len(query), len(gallery)), strict=True):
        assert one.tolist() == other.tolist() == sorted(set(one.tolist()))
        assert 0 < len(one) <= limit
        assert 0 <= one[0] <= one[-1] < size
    chosen = {gallery[index] for index in images}
    assert {query[index] for index in queries} <= chosen  # every query has a relevant image


@given(labels, labels)
def test_everything_where_it_fits(query: Labels, gallery: Labels) -> None:
    assume(sum(label in gallery for label in query) > 1)
    queries, images = choose(data(query, gallery), max_queries=100, max_gallery=100)
    assert images.tolist() == list(range(len(gallery)))
    assert queries.tolist() == [index for index, label in enumerate(query) if label in gallery]


@given(st.integers(2, 8), st.integers(5, 12), st.integers(0, 5))
def test_classes_take_turns(classes: int, each: int, seed: int) -> None:
    of = [label for label in range(classes) for _ in range(each)]
    most = classes * each - classes
    queries, images = choose(data(of, of), max_queries=most, max_gallery=most, seed=seed)
    for indices in (queries, images):
        counts = Counter(of[index] for index in indices)
        assert max(counts.values()) - min(counts.values()) <= 1


@given(st.integers(3, 30), st.integers(0, 5))
def test_a_class_that_is_sampled_brings_images(classes: int, seed: int) -> None:
    of = [label for label in range(classes) for _ in range(6)]
    _, images = choose(data(of, of), max_queries=500, max_gallery=8, seed=seed)
    counts = Counter(of[index] for index in images)
    assert len(images) == 8
    assert set(counts.values()) == {4}


@given(labels, limits, st.integers(0, 3))
def test_with_exclude_self_the_queries_are_among_the_gallerys_images(of: Labels, most: int, seed: int) -> None:
    assume(max(Counter(of).values()) > 1)
    queries, images = choose(data(of, of, exclude_self=True), max_queries=2, max_gallery=most, seed=seed)
    counts = Counter(of[index] for index in images)
    assert queries.tolist() == [index for index in images if counts[of[index]] > 1]  # others match no other image
    assert len(images) <= most


@given(st.integers(2, 30), st.integers(1, 40), st.integers(2, 12), st.integers(2, 45), st.integers(0, 5))
def test_where_a_list_says_what_is_relevant(n: int, m: int, most: int, many: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    kinds = draw.choice(3, (n, m), p=[0.7, 0.2, 0.1])
    kinds[:2, 0] = 1
    listed = listed_by(kinds)
    rows = [list(range(count)) for count in (n, m)]
    source = replace(data(*rows), judged={"mine": listed})
    try:
        queries, images = choose(source, max_queries=most, max_gallery=many, seed=seed)
    except InvalidInput:
        assume(False)
    assert len(images) == m if m <= many else len(images) <= many
    assert 0 < len(queries) <= most
    left = kinds[np.ix_(queries, images)] == 1
    assert left.any(axis=1).all()  # every query has a relevant image
    if m <= many and n <= most:
        assert queries.tolist() == np.flatnonzero((kinds == 1).any(axis=1)).tolist()


def test_a_listed_query_that_is_drawn_brings_images() -> None:
    listed = Listed(Lists.of([range(10 * query, 10 * query + 10) for query in range(9)]), Lists.of([[]] * 9), 90)
    source = replace(data(list(range(9)), list(range(90))), judged={"mine": listed})
    queries, images = choose(source, max_queries=100, max_gallery=12)
    assert Counter(int(image) // 10 for image in images) == {int(query): 4 for query in queries}
    assert len(queries) == 3


def test_a_query_whose_matches_are_all_of_its_camera_is_left_out() -> None:
    source = data([0, 1, 0], [0, 0, 1])
    for one, cameras in ((source.query, [7, 7, 7]), (source.gallery, [7, 8, 7])):
        one.cameras = np.array(cameras)
    queries, images = choose(source, max_queries=10, max_gallery=10)
    assert (queries.tolist(), images.tolist()) == ([0, 2], [0, 1, 2])


@given(st.lists(st.integers(1, 6), min_size=2, max_size=20), limits, st.integers(0, 3))
def test_small_classes_do_not_leave_the_sample_empty(sizes: list[int], most: int, seed: int) -> None:
    of = [label for label, size in enumerate(sizes) for _ in range(size)]
    assume(len(of) > 1)
    try:
        queries, images = choose(data(of, of), max_queries=most, max_gallery=most, seed=seed)
    except InvalidInput:  # a single image fits
        assert most < 5
        return
    assert min(len(of), most) - 3 <= len(images) <= most
    assert min(len(images), most) - 3 <= len(queries) <= most


def test_another_seed_is_another_choice() -> None:
    of = [label for label in range(20) for _ in range(5)]
    chosen = {tuple(choose(data(of, of), max_queries=10, max_gallery=20, seed=seed)[1]) for seed in range(5)}
    assert len(chosen) == 5


@pytest.mark.parametrize(("query", "count"), [([], "0 query images"), ([0], "1 query image;")])
def test_too_few_queries(query: Labels, count: str) -> None:
    with pytest.raises(InvalidInput, match=count) as caught:
        choose(data(query, [0, 1]), max_queries=10, max_gallery=10)
    assert_one_line(caught.value)


@pytest.mark.parametrize(("gallery", "n"), [([], 0), ([2, 3], 0), ([1, 1, 2], 1)])
def test_fewer_than_two_queries_with_something_to_find(gallery: Labels, n: int) -> None:
    with pytest.raises(InvalidInput, match=f"{n} of 2 queries have a relevant gallery image; two or more") as caught:
        choose(data([0, 1], gallery), max_queries=10, max_gallery=10)
    assert_one_line(caught.value)
