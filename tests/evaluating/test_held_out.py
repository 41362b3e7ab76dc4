from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating._held_out import held_out_images, without_queries
from prunnet_export.teachers import TeacherSample
from tests._asserts import assert_one_line
from tests._teacher import NamedSplit, RandomTeacher, glyphs, images_of, in_one_tree, sample_of_split

SPLIT = glyphs(classes=15)
SAMPLE = sample_of_split(SPLIT, RandomTeacher()(images_of(SPLIT)))
QUERIES = np.flatnonzero(SAMPLE.is_query)


def with_images(keep: np.ndarray) -> RetrievalData:
    """The data set with some of its images."""

    class Part(NamedSplit):
        @property
        def relative_names(self) -> list[str]:
            return [name for name, kept in zip(SPLIT.relative_names, keep, strict=True) if kept]

    return in_one_tree(Part(SPLIT._images[keep], SPLIT.labels[keep]))


def test_queries_are_the_held_out_images_with_the_teachers_vectors() -> None:
    found = held_out_images(in_one_tree(SPLIT), SAMPLE, most=500)
    assert found.names == tuple(np.array(SPLIT.relative_names)[QUERIES])
    np.testing.assert_array_equal(found.embeddings, SAMPLE.embeddings[QUERIES])
    assert found.images.labels.tolist() == SPLIT.labels[QUERIES].tolist()
    assert [found.images.encoded(index) for index in range(len(QUERIES))] == [
        SPLIT.encoded(int(row)) for row in QUERIES
    ]


def test_they_are_found_in_the_query_split_too() -> None:
    everything = in_one_tree(SPLIT)
    data = replace(everything, train=everything.gallery, query=SPLIT)
    assert held_out_images(data, SAMPLE, most=500).names == held_out_images(everything, SAMPLE, most=500).names


def test_statistics_are_not_of_the_queries() -> None:
    rest = without_queries(SPLIT, SAMPLE)
    others = np.flatnonzero(~SAMPLE.is_query)
    assert len(rest) == len(others) == 60
    assert [rest.encoded(index) for index in range(60)] == [SPLIT.encoded(int(row)) for row in others]
    assert rest.names == [SPLIT.names[row] for row in others.tolist()]


def test_images_of_both_splits_are_in_the_order_of_their_vectors() -> None:
    first, second = np.arange(90) < 40, np.arange(90) >= 40
    data = replace(with_images(first), query=with_images(second).train)
    found = held_out_images(data, SAMPLE, most=500)
    assert sorted(found.names) == sorted(np.array(SPLIT.relative_names)[QUERIES].tolist())
    for index, name in enumerate(found.names):
        row = SPLIT.relative_names.index(name)
        assert found.images.encoded(index) == SPLIT.encoded(row)
        np.testing.assert_array_equal(found.embeddings[index], SAMPLE.embeddings[row])


def test_of_many_some_are_drawn_the_same_ones_each_time() -> None:
    first, again = (held_out_images(in_one_tree(SPLIT), SAMPLE, most=21) for _ in range(2))
    assert len(set(first.names)) == 21
    assert first.names == again.names
    everything = held_out_images(in_one_tree(SPLIT), SAMPLE, most=500)
    rows = [everything.names.index(name) for name in first.names]
    np.testing.assert_array_equal(first.embeddings, everything.embeddings[rows])


def test_absent_images_are_counted_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    keep = np.ones(len(SPLIT), np.bool_)
    keep[QUERIES[:4]] = False
    with caplog.at_level(logging.WARNING):
        found = held_out_images(with_images(keep), SAMPLE, most=500)
    assert found.names == tuple(np.array(SPLIT.relative_names)[QUERIES[4:]])
    first = SAMPLE.names[QUERIES[0]]
    assert f"4 of 30 held-out images are not in glyphs in memory and are left out: {first}" in caplog.text


@pytest.mark.parametrize("absent", [11, 16, 30])
def test_too_few_are_refused(absent: int) -> None:
    keep = np.ones(len(SPLIT), np.bool_)
    keep[QUERIES[:absent]] = False
    with pytest.raises(InvalidInput, match=f"has {30 - absent} of the 30 images") as caught:
        held_out_images(with_images(keep), SAMPLE, most=500)
    assert_one_line(caught.value)
    assert "--data" in caught.value.hint


def test_images_that_changed_since_are_named_and_refused() -> None:
    def changed(*rows: int) -> TeacherSample:
        hashes = list(SAMPLE.image_sha256)
        for row in rows:
            hashes[row] = "0" * 64
        return replace(SAMPLE, image_sha256=tuple(hashes))

    with pytest.raises(InvalidInput, match=r"image\[3\] changed since the training") as caught:
        held_out_images(in_one_tree(SPLIT), changed(int(QUERIES[1])), most=500)
    assert_one_line(caught.value)
    with pytest.raises(InvalidInput, match=r"image\[0\] and 2 more changed"):
        held_out_images(in_one_tree(SPLIT), changed(*QUERIES[:3]), most=500)
    held_out_images(in_one_tree(SPLIT), changed(1), most=500)  # a training image is not looked at
