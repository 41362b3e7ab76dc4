from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.evaluating import Embeddings, Gallery
from prunnet_export.evaluating._own_gallery import check_labels_of_names, check_own_labels
from prunnet_export.vectors import Names
from tests._asserts import assert_one_line
from tests._inputs import array_split

COUNT, DIM = 100, 16
IMAGES = array_split(COUNT, classes=5, side=2)
IMAGES.names = [f"gallery/class-{label}/{index}.png" for index, label in enumerate(IMAGES.labels)]
VECTORS = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)


def embed(indices: npt.NDArray[np.int64]) -> Embeddings:
    """The vectors as another processor computes them."""
    noise = np.random.default_rng(1).normal(size=(len(indices), DIM)).astype(np.float32)
    return VECTORS[indices] + 1e-3 * noise


def check(labels: npt.NDArray[Any] | None, rows: npt.NDArray[np.int64] | None = None) -> None:
    chosen = np.arange(COUNT) if rows is None else rows
    own = None if labels is None else labels[chosen]
    gallery = Gallery.in_memory(VECTORS[chosen], labels=own, file="theirs.npz")
    check_own_labels(gallery, IMAGES, embed, data="the data")


def with_wrong(count: int) -> npt.NDArray[np.int64]:
    labels = IMAGES.labels.copy()
    labels[:count] += 1
    return labels


@pytest.mark.parametrize("wrong", [0, 5])
def test_a_few_other_labels_are_taken(wrong: int) -> None:
    check(with_wrong(wrong))
    check(with_wrong(wrong), np.random.default_rng(0).permutation(COUNT))


@pytest.mark.parametrize("wrong", [6, 100])
def test_many_other_labels_are_refused_with_their_number(wrong: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(with_wrong(wrong))
    assert_one_line(caught.value)
    assert f"theirs.npz: {wrong} of 100 images that it shares with the data" in caught.value.message


def test_labels_that_are_text_are_folders() -> None:
    check(np.array([f"class-{label}" for label in IMAGES.labels]))
    with pytest.raises(InvalidInput, match="100 of 100"):
        check(np.array([f"class-{label + 1}" for label in IMAGES.labels]))


def test_an_image_that_is_there_twice_has_both_labels() -> None:
    vectors, labels = np.concatenate([VECTORS, VECTORS]), np.concatenate([with_wrong(COUNT), IMAGES.labels])
    check_own_labels(Gallery.in_memory(vectors, labels=labels), IMAGES, embed, data="the data")


def test_other_images_and_few_images_prove_nothing() -> None:
    wrong = with_wrong(COUNT)
    others = Gallery.in_memory(np.random.default_rng(7).normal(size=(50, DIM)).astype(np.float32), labels=wrong[:50])
    check_own_labels(others, IMAGES, embed, data="the data")
    check(wrong, np.arange(9))
    with pytest.raises(InvalidInput, match="10 of 10"):
        check(wrong, np.arange(10))


def test_a_network_that_does_not_tell_classes_apart_proves_nothing() -> None:
    def alike(indices: npt.NDArray[np.int64]) -> Embeddings:
        return np.ones((len(indices), DIM), np.float32)

    gallery = Gallery.in_memory(np.ones((COUNT, DIM), np.float32), labels=with_wrong(COUNT))
    check_own_labels(gallery, IMAGES, alike, data="the data")


def test_without_labels_or_images_nothing_is_embedded() -> None:
    check(None)
    check_own_labels(Gallery.in_memory(VECTORS, labels=IMAGES.labels), array_split(0), embed, data="the data")


def test_of_many_images_some_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunnet_export.evaluating._own_gallery._LOOKED_AT", 20)
    with pytest.raises(InvalidInput, match="20 of 20"):
        check(with_wrong(COUNT))


CLASSES = np.array([f"class-{label}" for label in IMAGES.labels])


def check_names(labels: npt.NDArray[Any], names: Sequence[str] | None = None) -> None:
    """Check labels by the names alone."""
    known = Names(IMAGES.relative_names if names is None else names, Path("theirs.npz"))
    gallery = replace(Gallery.in_memory(VECTORS, labels=labels, file="theirs.npz"), names=known)
    check_labels_of_names(gallery, (IMAGES,), data="the data")


def others(labels: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Labels of which the first ones are those of the next class."""
    return np.where(np.arange(COUNT) < count, labels[(np.arange(COUNT) + 1) % COUNT], labels)


@pytest.mark.parametrize("labels", [CLASSES, IMAGES.labels], ids=["text", "numbers"])
def test_labels_have_to_be_those_of_the_names(labels: npt.NDArray[Any]) -> None:
    check_names(others(labels, 5))
    assert (others(labels, 30) != labels).sum() == 30
    with pytest.raises(InvalidInput, match="30 of 100 images have other labels") as caught:
        check_names(others(labels, 30))
    assert_one_line(caught.value)


def test_names_that_say_no_class_contradict_no_label() -> None:
    elsewhere = [f"new/{index}.png" for index in range(COUNT)]
    check_names(others(CLASSES, COUNT), elsewhere)
    check_names(others(IMAGES.labels, COUNT), elsewhere)
    few = [f"class-4/{index}.png" if index < 40 else name for index, name in enumerate(elsewhere)]
    check_names(CLASSES, few)  # a folder that happens to be called as a label
