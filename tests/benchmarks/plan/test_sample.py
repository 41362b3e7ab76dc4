"""The images of a plan: spread evenly, apart from the queries, and with vectors of only these images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.plan._sample import Sample, take_sample
from prunnet_export.benchmarks.plan._teacher import FileSource, Speed, Vectors, VectorSource
from prunnet_export.datasets import ImageSplit, Labels, RetrievalData, open_dataset
from prunnet_export.evaluating import SomeImages
from prunnet_export.network_config import TeacherKind
from prunnet_export.vectors import open_vectors
from tests._inputs import array_split, tiny_recipe
from tests.benchmarks.plan._plans import OPTIONS, unit, write_images, write_vectors

DATA = RetrievalData("d", array_split(400), array_split(40, seed=1), array_split(60, seed=2))


class Counting(VectorSource):
    """A teacher that counts the images that it embeds; it knows every second training image."""

    name, sha256, crop = "counting", "0" * 64, None
    kind: TeacherKind = "onnx"

    def __init__(self) -> None:
        self.embedded = 0

    def known(self, split: ImageSplit) -> npt.NDArray[np.bool_]:
        every = np.ones(len(split), np.bool_)
        every[1::2] = len(split) < 400
        return every

    def take(self, split: ImageSplit, rows: Labels) -> Vectors:
        assert self.known(split)[rows].all()
        self.embedded += len(rows)
        return 3 * unit(len(split), 6)[rows]

    def speed(self, split: ImageSplit) -> Speed | None:
        raise NotImplementedError


def sample(source: VectorSource, data: RetrievalData = DATA, *, images: int = 80) -> Sample:
    return take_sample(tiny_recipe(), data, source, OPTIONS, images=images)


def test_only_the_sample_and_the_search_are_embedded() -> None:
    source = Counting()
    found = sample(source)
    assert source.embedded == 80 + 40 + 60
    assert len(found.split) == 80
    assert (found.known, found.whole) == (200, 150)
    numbers = np.array([int(name.partition("[")[2].rstrip("]")) for name in found.split.names])
    assert not (numbers % 2).any()
    assert set(np.diff(numbers)) <= {4, 6}
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-6)


def test_without_queries_held_out_images_search_those_to_learn_from() -> None:
    nothing = array_split(4)
    found = sample(Counting(), replace(DATA, query=SomeImages((nothing, np.arange(0))), gallery=nothing))
    assert found.search.relevance is None
    assert len(found.search.gallery) == len(found.match.targets.rows) == 60
    learned = {found.split.names[row] for row in found.match.targets.rows}
    assert learned.isdisjoint(found.search.images.names)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InvalidInput, match="known of 30 of 30"):
        sample(Counting(), replace(DATA, train=array_split(30)))


def test_a_batch_that_the_sample_does_not_fill_is_refused_before_slow_work() -> None:
    with pytest.raises(InvalidInput, match="do not fill one batch of 61"):
        take_sample(tiny_recipe(batch_size=61), DATA, Counting(), OPTIONS, images=80)


def test_vectors_of_a_file_are_found_by_name(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", per_class=2)
    file = write_vectors(tmp_path / "v.npz", images)
    data, source = open_dataset(str(images)), FileSource(open_vectors(file))
    stored = np.load(file)
    rows = np.array([7, 0, 7])
    expected = [stored["embeddings"][list(stored["names"]).index(data.train.relative_names[row])] for row in rows]
    np.testing.assert_array_equal(source.take(data.train, rows), np.stack(expected))
    assert source.known(data.query).all()
    assert not source.known(array_split(3)).any()


def test_a_file_without_names_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", unit(4, 3))
    with pytest.raises(InvalidInput, match="which image"):
        FileSource(open_vectors(tmp_path / "v.npy"))
