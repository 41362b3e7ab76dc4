from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunnet_export.evaluating._gallery_labels import relevance_in_gallery
from prunnet_export.relevance import ByLabel, Listed
from prunnet_export.vectors import Names

NAMES = ["a/0.png", "b/sub/0.png", "c/0.png", "0.png"]
LABELS = np.array([0, 1, 2, 3])


def names(*of: str) -> Names:
    return Names(of, Path("g.npz"))


def test_text_labels_are_folders_of_the_querys_name() -> None:
    relevance = relevance_in_gallery(NAMES, LABELS, None, np.array(["b", "a", "x", "b", "sub"]), count=5)
    assert relevance is not None
    relevant, junk = relevance.rows(0, 4)
    assert relevant.astype(int).tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0] * 5, [0] * 5]  # the innermost folder
    assert not junk.any()


def test_a_whole_path_of_folders_goes_first() -> None:
    relevance = relevance_in_gallery(NAMES[:2], LABELS[:2], None, np.array(["sub", "b/sub", "b"]), count=3)
    assert relevance is not None
    assert relevance.rows(0, 2)[0].astype(int).tolist() == [[0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_integers_are_the_numbers_of_the_data_set(dtype: type) -> None:
    relevance = relevance_in_gallery(NAMES, LABELS, None, np.array([2, 0, 9], dtype), count=3)
    assert isinstance(relevance, ByLabel)
    assert relevance.counts().tolist() == [1, 0, 1, 0]


def test_an_image_of_the_querys_name_is_left_out_of_its_ranking() -> None:
    there = names("z.png", "a/0.png", "c/0.png")
    labelled = relevance_in_gallery(NAMES, LABELS, there, np.array([0, 0, 2]), count=3)
    assert labelled is not None
    relevant, junk = labelled.rows(0, 4)
    assert relevant.astype(int).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert junk.astype(int).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    for query_labels, gallery_labels in ((None, np.array([0, 0, 2])), (LABELS, None), (None, None)):
        bare = relevance_in_gallery(NAMES, query_labels, there, gallery_labels, count=3)
        assert isinstance(bare, Listed)
        assert not bare.counts().any()
        assert bare.rows(0, 4)[1].tolist() == junk.tolist()


def test_nothing_is_known_without_labels_and_common_names() -> None:
    assert relevance_in_gallery(NAMES, LABELS, None, None, count=3) is None
    assert relevance_in_gallery(NAMES, None, names("x", "y", "z"), None, count=3) is None
