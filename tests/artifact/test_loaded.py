from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

import prunnet_export
from prunnet_export._errors import InvalidInput, MissingExtra, UnknownName, VerificationFailed
from prunnet_export.artifact import Manifest, load, read_manifest
from prunnet_export.devices import photograph
from prunnet_export.preprocessing import ImageLike, Preprocessing, decode
from prunnet_export.query import Query
from prunnet_export.runtimes import Batch, Model, find_runtime

MakeArtifact = Callable[..., Path]


def pictures(count: int = 5) -> list[np.ndarray]:
    return list(np.random.default_rng(5).integers(0, 256, (count, 20, 24, 3), np.uint8))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_embeds_as_preprocessing_and_runtime_do(runtime: str, make_artifact: MakeArtifact) -> None:
    folder = make_artifact(runtime=runtime)
    model = prunnet_export.load(folder, threads=1)
    embeddings = model.embed(pictures(), batch_size=2)
    assert (embeddings.shape, model.dim) == ((5, 8), 8)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    session = find_runtime(runtime).open(Model(folder / model.manifest.entry, runtime), threads=1)
    inputs = Preprocessing(crop=16, resize=18)(pictures())
    np.testing.assert_allclose(embeddings, session.run(inputs), atol=1e-6)


def test_every_kind_of_image_is_the_same_image(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    array = pictures(1)[0]
    image = Image.fromarray(array)
    buffer = BytesIO()
    image.save(buffer, "png")
    (tmp_path / "image.png").write_bytes(buffer.getvalue())
    kinds: list[ImageLike] = [
        array,
        image,
        buffer.getvalue(),
        tmp_path / "image.png",
        str(tmp_path / "image.png"),
    ]
    embeddings = load(make_artifact(), threads=1).embed(kinds)
    np.testing.assert_allclose(embeddings, np.broadcast_to(embeddings[0], embeddings.shape), atol=1e-6)


def test_no_images_are_no_embeddings(make_artifact: MakeArtifact) -> None:
    assert load(make_artifact()).embed([]).shape == (0, 8)
    assert load(make_artifact()).embed(()).dtype == np.float32


@pytest.mark.parametrize(
    "bare",
    [
        "image.png",
        Path("image.png"),
        b"bytes",
        np.zeros((4, 4, 3), np.uint8),
        Image.new("RGB", (4, 4)),
        iter([]),
    ],
)
def test_a_bare_image_is_not_guessed_to_be_a_list(bare: Any, make_artifact: MakeArtifact) -> None:
    with pytest.raises(InvalidInput, match="list of images") as caught:
        load(make_artifact()).embed(bare)
    assert "embed([image])" in caught.value.hint


def test_a_bad_image_is_named_by_its_place_in_the_whole_list(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    model = load(make_artifact())
    with pytest.raises(InvalidInput, match="image 4"):
        model.embed([*pictures(4), b"no image"], batch_size=2)
    with pytest.raises(InvalidInput, match=r"nowhere\.png"):
        model.embed([tmp_path / "nowhere.png"])
    with pytest.raises(InvalidInput, match="float"):
        model.embed([np.zeros((4, 4, 3))])


def test_batch_size_has_to_be_positive(make_artifact: MakeArtifact) -> None:
    with pytest.raises(InvalidInput, match="batch size 0"):
        load(make_artifact()).embed(pictures(), batch_size=0)


def test_shows_how_it_was_made(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    model = load(folder, threads=2)
    assert repr(model) == f"load({str(folder)!r}, threads=2)"
    assert repr(eval(repr(model), {"load": load})) == repr(model)  # noqa: S307  the repr is meant to be evaluated


def test_rejected_artifacts_load_only_on_request(make_artifact: MakeArtifact) -> None:
    folder = make_artifact(status="rejected", reasons=["too slow"])
    assert folder.name == "tiny.rejected"
    with pytest.raises(VerificationFailed, match="too slow") as caught:
        load(folder)
    assert "allow_rejected" in caught.value.hint
    model = load(str(folder), allow_rejected=True)
    assert "allow_rejected=True" in repr(model)
    assert model.embed(pictures(1)).shape == (1, 8)


def test_a_changed_model_is_not_loaded(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(InvalidInput, match="SHA-256"):
        load(folder)
    assert load(folder, check_hashes=False).dim == 8


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_truncated_model_is_refused_even_unhashed(runtime: str, make_artifact: MakeArtifact) -> None:
    folder = make_artifact(runtime=runtime)
    for file in folder.glob("model.*"):
        file.write_bytes(file.read_bytes()[:200])
    for check_hashes in (True, False):
        with pytest.raises(InvalidInput) as caught:
            load(folder, check_hashes=check_hashes)
        assert "\n" not in caught.value.message


def test_files_of_two_artifacts_do_not_mix(make_artifact: MakeArtifact, manifest: Manifest) -> None:
    folder = make_artifact(network=msgspec.structs.replace(manifest.network, embedding_dim=16))
    with pytest.raises(InvalidInput, match="8 numbers"):
        load(folder)


def test_an_entry_that_is_a_link_out_is_refused_even_unhashed(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    folder = make_artifact()
    (folder / "model.onnx").rename(tmp_path / "outside.onnx")
    (folder / "model.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(InvalidInput, match="leads out"):
        load(folder, check_hashes=False)


def test_a_missing_engine_names_its_extra(make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_artifact()
    find = importlib.import_module

    def fail(name: str) -> object:
        if name == "onnxruntime":
            raise ModuleNotFoundError(name=name)
        return find(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingExtra) as caught:
        load(folder)
    assert "prunnet-export[onnxruntime]" in caught.value.hint


def test_an_unknown_engine_is_named(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    document = (folder / "manifest.json").read_bytes().replace(b'"name": "onnxruntime"', b'"name": "onnxrun"')
    (folder / "manifest.json").write_bytes(document)
    assert read_manifest(folder).runtime.name == "onnxrun"
    with pytest.raises(UnknownName, match="onnxrun"):
        load(folder)


def test_a_folder_that_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not an artifact"):
        load(tmp_path)


def test_a_model_for_one_image_embeds_many(make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(make_artifact(), threads=1)
    expected = model.embed(pictures(3))
    monkeypatch.setattr(model._session, "shape", replace(model._session.shape, batch=1))
    np.testing.assert_allclose(model.embed(pictures(3)), expected, atol=1e-6)


def test_a_path_that_engines_cannot_open(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    renamed = folder.rename(folder.with_name("caf\udce9"))
    with pytest.raises(InvalidInput, match="this path is not UTF-8") as caught:
        load(renamed)
    assert "rename" in caught.value.hint


def test_a_model_for_a_few_images_embeds_any_number(
    make_artifact: MakeArtifact, tiny_model: Callable[..., Path]
) -> None:
    expected = load(make_artifact(), threads=1).embed(pictures(7))
    fixed = find_runtime("onnxruntime").open(Model(tiny_model(batch=4), "onnxruntime"), threads=1)
    model = load(make_artifact("dist/fixed"), threads=1)
    model._session = fixed
    for count in (1, 4, 7):
        np.testing.assert_allclose(model.embed(pictures(7)[:count]), expected[:count], atol=1e-6)
    with pytest.raises(InvalidInput, match="the batch has 0 images"):
        fixed.run_some(np.empty((0, 3, 16, 16), np.float32))


@pytest.mark.parametrize(("measured", "sizes"), [(1, [32, 3]), (8, [8, 8, 8, 8, 3])])
def test_batches_are_as_large_as_those_that_were_measured(
    measured: int, sizes: list[int], make_artifact: MakeArtifact, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_ = msgspec.structs.replace
    fields = {
        "latency": replace_(manifest.latency, batch=measured),
        "budget": replace_(manifest.budget, query=Query(batch_size=measured)),
        "dense_latency": None,
    }
    model, found = load(make_artifact(**fields)), list[int]()
    run = model._session.run

    def counted(images: Batch) -> Batch:
        found.append(len(images))
        return run(images)

    monkeypatch.setattr(model._session, "run", counted)
    assert model.embed(pictures(35)).shape == (35, 8)
    assert found == sizes


def test_a_photograph_is_embedded_as_its_whole_pixels_are(make_artifact: MakeArtifact) -> None:
    photo = photograph((600, 800))
    fraction, whole = load(make_artifact(), threads=1).embed([photo, decode(photo, name="photo")])
    assert fraction @ whole > 0.9999
    assert not np.array_equal(fraction, whole)
