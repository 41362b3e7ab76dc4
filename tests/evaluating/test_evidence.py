from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData, open_dataset
from prunnet_export.evaluating import Evidence, Gallery, embed_in_torch, inputs_of
from prunnet_export.network import statistics_batches
from prunnet_export.network_config import STATISTICS_IMAGES, DataSource
from prunnet_export.patterns import find_pattern
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.relevance import ByLabel, Listed, Lists
from tests._asserts import assert_same_relevance
from tests._inputs import array_split, cut, retrieval_data
from tests.search._exports import MAX_GALLERY, MAX_QUERIES, Workshop


@pytest.fixture
def evidence(workshop: Workshop) -> Evidence:
    return Evidence(workshop.checkpoint, retrieval_data(), MAX_QUERIES, MAX_GALLERY)


def test_statistics_are_taken_all_over_the_train_split(evidence: Evidence) -> None:
    seen = torch.cat(list(evidence.statistics()))
    assert seen.shape == (24, 3, 32, 32)
    assert 0 <= float(seen.min()) < float(seen.max()) <= 1


def test_of_many_images_some_are_taken_evenly(evidence: Evidence) -> None:
    count = STATISTICS_IMAGES + 250
    data = replace(evidence.data, train=array_split(count, side=1))
    taken = list(replace(evidence, data=data).statistics())
    assert sum(map(len, taken)) == STATISTICS_IMAGES
    first, *_ = statistics_batches(count)
    expected = evidence.preprocessing([data.train.image(int(index)) for index in first])
    np.testing.assert_array_equal(taken[0].numpy(), expected)


def test_one_image_has_no_statistics(evidence: Evidence) -> None:
    data = replace(evidence.data, train=array_split(1))
    with pytest.raises(InvalidInput, match="1 train image;"):
        list(replace(evidence, data=data).statistics())


def test_batches_are_in_order() -> None:
    split, preprocessing = array_split(6), Preprocessing(crop=8, resize=9)
    [batch] = inputs_of(split, [4, 0, 0], preprocessing)
    np.testing.assert_array_equal(batch, preprocessing([split.image(4), split.image(0), split.image(0)]))


def test_the_dense_side(evidence: Evidence) -> None:
    dense = evidence.teacher_side()
    assert len(dense.images) == len(evidence.images.indices[1]) == 8
    assert dense.relevance is not None
    assert_same_relevance(dense.relevance, evidence.data.relevance)
    for embeddings, split in (
        (dense.queries, evidence.data.query),
        (dense.gallery.embeddings, evidence.data.gallery),
    ):
        network = evidence.checkpoint.network.embedder
        whole = embed_in_torch(network, inputs_of(split, range(8), evidence.preprocessing))
        assert embeddings.dtype == np.float32
        np.testing.assert_array_equal(embeddings, whole)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_a_reference_is_of_the_same_images_in_the_same_order(evidence: Evidence) -> None:
    evidence = replace(evidence, max_queries=4)
    dense = evidence.teacher_side()
    small = cut(evidence.checkpoint.network, 0.3, find_pattern("channel"))
    reference = evidence.reference(dense, evidence.embed_queries(dense, small), dense.queries)
    decoded = [Image.open(BytesIO(image)) for image in reference.images]
    inputs = evidence.preprocessing(decoded)
    assert len(reference.images) == 4
    np.testing.assert_allclose(
        embed_in_torch(evidence.checkpoint.network.embedder, [inputs]), reference.teacher_queries, atol=1e-5
    )
    np.testing.assert_allclose(embed_in_torch(small, [inputs]), reference.subnetwork_queries, atol=1e-5)
    assert not np.allclose(reference.teacher_queries, reference.subnetwork_queries, atol=1e-3)
    assert reference.relevance is not None
    assert_same_relevance(reference.relevance, evidence.images.relevance)
    assert reference.network == evidence.checkpoint.config.weights_sha256
    assert reference.protocol == evidence.data.protocol


def exclude_self(data: RetrievalData) -> RetrievalData:
    return replace(data, gallery=data.query, exclude_self=True)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_gallery_that_was_given_takes_the_place_of_the_data_sets(labelled: bool, evidence: Evidence) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 0]) if labelled else None
    evidence = replace(evidence, gallery=Gallery.in_memory(rows, labels=labels))
    dense = evidence.teacher_side()
    reference = evidence.reference(dense, dense.queries, dense.queries)
    np.testing.assert_array_equal(reference.gallery, rows)
    if labels is None:
        assert reference.relevance is None
    else:
        assert reference.relevance is not None
        assert_same_relevance(reference.relevance, ByLabel(evidence.data.query.labels, labels))


@pytest.mark.parametrize("removed", ["own images", "cameras"])
def test_a_foreign_gallery_says_nothing_where_the_data_set_removes_images(
    removed: str, evidence: Evidence, caplog: pytest.LogCaptureFixture
) -> None:
    data = exclude_self(evidence.data)
    if removed == "cameras":
        data = evidence.data
        data.query.cameras, data.gallery.cameras = np.arange(8), np.arange(8) + 1
    rows = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    gallery = Gallery.in_memory(rows, labels=np.array([0, 1, 2, 3, 0]))
    dense = replace(evidence, data=data, gallery=gallery).teacher_side()
    assert dense.relevance is None
    assert dense.images.labels.tolist() == data.query.labels.tolist()
    [warning] = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("the labels of the gallery are not used")
    assert {"own images": "which row is a query itself", "cameras": "names no cameras"}[removed] in warning


def test_the_data_sets_own_gallery_out_of_a_file_is_judged_as_the_data_set_is(evidence: Evidence) -> None:
    data = exclude_self(evidence.data)
    rows = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    dense = replace(evidence, data=data, gallery=Gallery.in_memory(rows, labels=data.gallery.labels)).teacher_side()
    assert dense.relevance is not None
    assert_same_relevance(dense.relevance, data.relevance)  # the query's own image is junk


def test_a_foreign_gallery_says_nothing_where_a_list_says_what_is_relevant(
    evidence: Evidence, caplog: pytest.LogCaptureFixture
) -> None:
    lists = Lists.of([[0]] * 8)
    data = replace(evidence.data, judged={"mine": Listed(lists, Lists.of([[]] * 8), 8)})
    rows = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    dense = replace(evidence, data=data, gallery=Gallery.in_memory(rows, labels=np.arange(5))).teacher_side()
    assert dense.relevance is None
    assert "lists of what is relevant" in caplog.text


def test_query_and_gallery_of_the_same_images(evidence: Evidence) -> None:
    evidence = replace(evidence, data=exclude_self(evidence.data))
    side = evidence.teacher_side()
    reference = evidence.reference(side, side.queries, side.queries)
    assert reference.relevance is not None
    assert reference.relevance.rows(0, 8)[1].tolist() == np.eye(8, dtype=bool).tolist()


def test_a_data_set_for_tests_alone_takes_its_statistics_on_the_networks_own_images(
    evidence: Evidence, tiny_data: Path
) -> None:
    data = replace(evidence.data, train=array_split(0))
    with pytest.raises(InvalidInput, match="does not say what it was trained on"):
        list(replace(evidence, data=data).statistics())
    config = msgspec.structs.replace(evidence.checkpoint.config, data=DataSource(source=str(tiny_data)))
    trained = replace(evidence, checkpoint=replace(evidence.checkpoint, config=config), data=data)
    own = open_dataset(str(tiny_data)).train
    expected = np.concatenate(list(inputs_of(own, range(len(own)), evidence.preprocessing)))
    np.testing.assert_array_equal(torch.cat(list(trained.statistics())).numpy(), expected)
    config = msgspec.structs.replace(config, data=DataSource(source="photos"))
    moved = replace(trained, checkpoint=replace(evidence.checkpoint, config=config))
    with pytest.raises(InvalidInput, match="the network was trained on others: data set 'photos' does not exist"):
        list(moved.statistics())


def test_torch_embeds_in_pieces_of_any_size(evidence: Evidence) -> None:
    network = evidence.checkpoint.network.embedder
    inputs = evidence.preprocessing([evidence.data.train.image(index % 24) for index in range(120)])
    np.testing.assert_allclose(
        embed_in_torch(network, [inputs]), embed_in_torch(network, [inputs[:7], inputs[7:]]), atol=1e-5
    )


def test_a_network_near_chance_on_its_own_data_is_refused(evidence: Evidence, caplog: pytest.LogCaptureFixture) -> None:
    draw = np.random.default_rng(0)
    query, gallery = array_split(60), array_split(60, seed=1)
    data = replace(evidence.data, query=query, gallery=gallery)
    replace(evidence, data=data).teacher_side()  # colours are told apart even by an untrained network
    for split in (query, gallery):
        split.labels = draw.integers(0, 4, 60)
    with pytest.raises(InvalidInput, match="does not tell these images apart"):
        replace(evidence, data=data).teacher_side()
    assert not caplog.records
    replace(evidence, data=data).teacher_side(refuse_chance=False)  # nothing depends on the labels
    assert "does not tell these images apart" in caplog.text


@pytest.mark.parametrize("kept", ["the whole gallery", "a part"])
def test_a_gallery_whose_labels_are_not_the_data_sets_is_refused(kept: str, evidence: Evidence) -> None:
    own = array_split(40)
    data = replace(evidence.data, gallery=own)
    inputs = inputs_of(own, range(len(own)), evidence.preprocessing)
    rows = embed_in_torch(evidence.checkpoint.network.embedder, inputs)[: 40 if kept == "the whole gallery" else 30]
    labels = own.labels[: len(rows)]
    replace(evidence, data=data, gallery=Gallery.in_memory(rows, labels=labels)).teacher_side()
    with pytest.raises(InvalidInput, match="images that it shares"):
        replace(evidence, data=data, gallery=Gallery.in_memory(rows, labels=3 - labels)).teacher_side()


def test_queries_without_a_class_in_a_given_gallery_are_left_out(evidence: Evidence) -> None:
    embeddings = np.eye(evidence.checkpoint.config.embedding_dim, dtype=np.float32)
    here = int(evidence.data.query.labels[0])
    given = replace(evidence, gallery=Gallery.in_memory(embeddings, labels=np.full(len(embeddings), here)))
    assert set(given.teacher_side().images.labels) == {here}
    elsewhere = replace(evidence, gallery=Gallery.in_memory(embeddings, labels=np.full(len(embeddings), 10_000)))
    with pytest.raises(InvalidInput, match="relevant images of 0 of the"):
        elsewhere.teacher_side()
