"""The evidence of a network whose teacher is another model, known by its vectors."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.evaluating import Evidence, settling_inputs, settling_vectors
from prunnet_export.evaluating._search_gates import search_gates
from prunnet_export.network import Embedder, adapt, load_checkpoint
from prunnet_export.network_config import TEACHER_FILE
from prunnet_export.patterns import find_pattern, materialise
from prunnet_export.relevance import ByLabel, Listed
from prunnet_export.teachers import load_sample, save_sample
from prunnet_export.thresholds import Thresholds
from tests._asserts import assert_one_line, assert_same_tensors
from tests._cli import write_network
from tests._teacher import (
    TEACHER_DIM,
    NamedSplit,
    RandomTeacher,
    Vectors,
    give_teacher,
    glyphs,
    images_of,
    in_one_tree,
    sample_of_split,
)

SPLIT = glyphs(classes=20)
VECTORS = RandomTeacher()(images_of(SPLIT))
SAMPLE = sample_of_split(SPLIT, VECTORS)
QUERIES = np.flatnonzero(SAMPLE.is_query)
OTHERS = np.flatnonzero(~SAMPLE.is_query)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    folder = write_network(tmp_path / "network", dim=TEACHER_DIM)
    give_teacher(folder, SAMPLE)
    return folder


@pytest.fixture
def evidence(network: Path) -> Evidence:
    return Evidence(load_checkpoint(network), in_one_tree(SPLIT), 500, 1000)


def write(file: Path, vectors: Vectors, **arrays: object) -> Path:
    np.savez(file, allow_pickle=False, embeddings=vectors, **arrays)  # type: ignore[arg-type]  # any arrays
    return file


def test_queries_are_the_held_out_images_and_their_vectors_are_the_teachers(evidence: Evidence) -> None:
    side = evidence.teacher_side()
    np.testing.assert_array_equal(side.queries, VECTORS[QUERIES])
    assert [side.images.encoded(index) for index in range(40)] == [SPLIT.encoded(int(row)) for row in QUERIES]


def test_without_a_gallery_the_teachers_training_vectors_are_one(evidence: Evidence) -> None:
    side = evidence.teacher_side()
    np.testing.assert_array_equal(side.gallery.embeddings, VECTORS[OTHERS])
    entry = side.gallery.entry
    assert (entry.made_by, entry.file, entry.count, entry.unit) == ("teacher", None, len(OTHERS), False)
    assert isinstance(side.relevance, ByLabel)
    assert side.relevance.gallery_labels.tolist() == SPLIT.labels[OTHERS].tolist()
    assert side.relevance.query_labels.tolist() == SPLIT.labels[QUERIES].tolist()


def test_without_labels_the_neighbours_are_compared(evidence: Evidence) -> None:
    side = replace(evidence, data=replace(evidence.data, has_labels=False)).teacher_side()
    assert side.relevance is None
    reference = evidence.reference(side, side.queries, side.queries)
    [overlap], figures = search_gates(side.queries, None, reference, Thresholds())
    assert (overlap.name, overlap.value, overlap.interval, overlap.threshold) == (
        "neighbour overlap",
        1,
        (1, 1),
        0.5,
    )
    assert "teacher" in overlap.note
    assert not figures


def test_the_training_images_may_be_of_other_classes_than_the_queries(evidence: Evidence, network: Path) -> None:
    seen = SPLIT.labels < 10
    give_teacher(network, replace(SAMPLE, is_query=~seen))
    side = replace(evidence, checkpoint=load_checkpoint(network)).teacher_side()
    assert side.relevance is None
    assert len(side.queries) == (~seen).sum()


def test_a_gallery_with_names_leaves_a_query_out_of_its_own_ranking(evidence: Evidence, tmp_path: Path) -> None:
    names = np.array(SPLIT.relative_names)
    file = write(tmp_path / "g.npz", VECTORS, names=names)
    side = evidence.with_gallery(file).teacher_side()
    assert isinstance(side.relevance, Listed)
    assert not side.relevance.counts().any()
    _, junk = side.relevance.rows(0, len(QUERIES))
    assert junk.sum(axis=1).tolist() == [1] * len(QUERIES)
    assert junk.argmax(axis=1).tolist() == QUERIES.tolist()
    reference = evidence.reference(side, side.queries, side.queries)
    [overlap], _ = search_gates(side.queries, None, reference, Thresholds())
    assert overlap.threshold == 0.5


@pytest.mark.parametrize("kind", ["text", "numbers"])
def test_labels_of_the_gallery_are_joined_with_those_of_the_queries(
    kind: str, evidence: Evidence, tmp_path: Path
) -> None:
    labels = SPLIT.labels[OTHERS]
    of_file = labels if kind == "numbers" else np.array([f"class-{label:02}" for label in labels])
    side = evidence.with_gallery(write(tmp_path / "g.npz", VECTORS[OTHERS], labels=of_file)).teacher_side()
    assert side.relevance is not None
    relevant, _ = side.relevance.rows(0, len(QUERIES))
    assert (relevant == (SPLIT.labels[QUERIES, None] == labels)).all()


def test_queries_without_a_relevant_image_are_left_out(evidence: Evidence, tmp_path: Path) -> None:
    chosen = OTHERS[SPLIT.labels[OTHERS] < 15]
    file = write(tmp_path / "g.npz", VECTORS[chosen], labels=SPLIT.labels[chosen])
    side = evidence.with_gallery(file).teacher_side()
    assert sorted(set(side.images.labels.tolist())) == list(range(15))
    assert len(side.queries) == len(side.images) == len(side.relevance or ()) == 30
    elsewhere = write(tmp_path / "h.npz", VECTORS[chosen], labels=np.full(len(chosen), 99))
    with pytest.raises(InvalidInput, match="relevant images of 0 of the 40 queries") as caught:
        evidence.with_gallery(elsewhere).teacher_side()
    assert_one_line(caught.value)


def test_lengths_matter_to_distances(evidence: Evidence, tmp_path: Path) -> None:
    file = write(tmp_path / "g.npz", VECTORS[OTHERS], metric=np.array("l2"))
    entry = evidence.with_gallery(file).teacher_side().gallery.entry
    assert (entry.metric, entry.unit) == ("l2", False)
    assert entry.query_scale == pytest.approx(np.linalg.norm(VECTORS, axis=1).mean(), rel=1e-5)
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    stored = write(tmp_path / "u.npz", unit[OTHERS].astype(np.float16), metric=np.array("l2"))
    side = evidence.with_gallery(stored).teacher_side()
    assert (side.gallery.entry.unit, side.gallery.entry.query_scale) == (True, 1)
    # The service normalises its queries too, so that all metrics give one ranking.
    student = side.queries + np.random.default_rng(0).normal(size=side.queries.shape).astype(np.float32)
    references = [
        evidence.reference(one, student, student)
        for one in (side, evidence.with_gallery(stored, metric="cosine").teacher_side())
    ]
    found = [search_gates(student, None, one, Thresholds(overlap=0))[0][0].value for one in references]
    assert found[0] == pytest.approx(found[1], abs=0.01)  # float16 changes lengths a little


def test_fewer_queries_and_the_same_ones_each_time(evidence: Evidence) -> None:
    first, again = (replace(evidence, max_queries=25).teacher_side() for _ in range(2))
    assert len(first.queries) == 25
    np.testing.assert_array_equal(first.queries, again.queries)


def test_statistics_are_not_taken_on_the_queries(evidence: Evidence) -> None:
    assert sum(map(len, evidence.statistics())) == len(OTHERS)


def test_a_sample_of_another_network_is_refused(evidence: Evidence, network: Path) -> None:
    sample = load_sample(network / TEACHER_FILE)
    save_sample(replace(sample, embeddings=2 * sample.embeddings), network / TEACHER_FILE)
    with pytest.raises(InvalidInput, match="is not the file that the network was written with") as caught:
        evidence.teacher_side()
    assert_one_line(caught.value)
    (network / TEACHER_FILE).unlink()
    with pytest.raises(InvalidInput, match="is missing"):
        evidence.teacher_side()


def test_a_sample_of_another_length_is_refused(evidence: Evidence, network: Path) -> None:
    give_teacher(network, replace(SAMPLE, embeddings=SAMPLE.embeddings[:, :32]))
    with pytest.raises(InvalidInput, match="is not the file"):
        replace(evidence, checkpoint=load_checkpoint(network)).teacher_side()


def test_a_sample_without_training_images_is_no_gallery(evidence: Evidence, network: Path) -> None:
    give_teacher(network, replace(SAMPLE, is_query=np.ones(len(SPLIT), np.bool_)))
    with pytest.raises(InvalidInput, match="vectors of 0 training images") as caught:
        replace(evidence, checkpoint=load_checkpoint(network)).teacher_side()
    assert "--gallery" in caught.value.hint


def test_images_of_another_data_set_are_no_queries(evidence: Evidence) -> None:
    class Renamed(NamedSplit):
        @property
        def relative_names(self) -> list[str]:
            return [f"other/{name}" for name in super().relative_names]

    renamed = Renamed(SPLIT._images, SPLIT.labels)
    with pytest.raises(InvalidInput, match="has 0 of the 40 images"):
        replace(evidence, data=in_one_tree(renamed)).teacher_side()


def settled(evidence: Evidence) -> Embedder:
    network = evidence.checkpoint.network
    [chosen] = find_pattern("channel", 2).subnetworks(network, [0.4])
    module = materialise(network, chosen)
    evidence.settle(module)
    return module


def test_a_cut_network_is_refitted_to_the_teachers_vectors(evidence: Evidence) -> None:
    module, network = settled(evidence), evidence.checkpoint.network
    [chosen] = find_pattern("channel", 2).subnetworks(network, [0.4])
    expected, preprocessing = materialise(network, chosen), evidence.preprocessing
    adapt(
        expected,
        network.embedder,
        lambda: settling_inputs(evidence.data.train, SAMPLE, preprocessing),
        lambda: settling_vectors(SAMPLE),
    )
    assert_same_tensors(module.state_dict(), expected.state_dict())


def test_without_the_images_of_the_training_it_is_refitted_to_the_dense_network(evidence: Evidence) -> None:
    others = replace(evidence, data=replace(evidence.data, train=glyphs(classes=4)))  # the first images only
    module, network = settled(others), evidence.checkpoint.network
    [chosen] = find_pattern("channel", 2).subnetworks(network, [0.4])
    expected = materialise(network, chosen)
    adapt(expected, network.embedder, others.statistics)
    assert_same_tensors(module.state_dict(), expected.state_dict())


@pytest.mark.parametrize("count", [0, 1, 30])
def test_training_images_that_changed_are_not_refitted_to(
    count: int, evidence: Evidence, network: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changed = OTHERS[:count]
    pixels = SPLIT._images.copy()
    pixels[changed] = glyphs(classes=20, seed=1)._images[changed]
    other = replace(evidence, data=in_one_tree(NamedSplit(pixels, SPLIT.labels)))
    with caplog.at_level(logging.WARNING):
        first, again = settled(other), settled(other)
    warnings = [record for record in caplog.records if "changed since" in record.getMessage()]
    named = SPLIT.names[changed[0]] if count else ""
    expected_warning = (
        f"{count} of 80 training images changed since the training, {named} among them; "
        "projectors are refitted without them"
    )
    assert [record.getMessage() for record in warnings] == [expected_warning] * bool(count)
    give_teacher(network, SAMPLE.part(np.setdiff1d(np.arange(len(SPLIT)), changed)))
    expected = settled(replace(evidence, checkpoint=load_checkpoint(network)))
    for module in (first, again):
        assert_same_tensors(module.state_dict(), expected.state_dict())


def test_if_most_training_images_changed_it_is_refitted_to_the_dense_network(
    evidence: Evidence, caplog: pytest.LogCaptureFixture
) -> None:
    changed = OTHERS[:41]
    pixels = SPLIT._images.copy()
    pixels[changed] = glyphs(classes=20, seed=1)._images[changed]
    other = replace(evidence, data=in_one_tree(NamedSplit(pixels, SPLIT.labels)))
    with caplog.at_level(logging.WARNING):
        module = settled(other)
    assert "41 of 80 training images changed since the training" in caplog.text
    assert "projectors are refitted to the dense network instead of the teacher's vectors" in caplog.text
    network = other.checkpoint.network
    [chosen] = find_pattern("channel", 2).subnetworks(network, [0.4])
    expected = materialise(network, chosen)
    adapt(expected, network.embedder, other.statistics)
    assert_same_tensors(module.state_dict(), expected.state_dict())
