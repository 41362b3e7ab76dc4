from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.models import PretrainedCfg
from torch import nn

from prunnet_export import InvalidInput, UnknownName, network
from prunnet_export.network import Embedder, save_checkpoint
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.teachers import TeacherSettings, open_teacher, teacher_vectors
from prunnet_export.teachers._torch import _timm_preprocessing
from tests._inputs import TINY_RESNET, array_split, tiny_resnet
from tests.teachers._teachers import photos


def write_network(folder: Path, *, seed: int = 0, resize: int = 36) -> Path:
    save_checkpoint(
        folder,
        tiny_resnet(seed=seed),
        backbone="resnet18",
        backbone_options=TINY_RESNET,
        preprocessing=Preprocessing(crop=32, resize=resize),
        data=None,
        training={},
    )
    return folder


def test_a_network_gives_the_vectors_of_its_dense_embedder(tmp_path: Path) -> None:
    teacher = open_teacher(str(write_network(tmp_path / "mine")), settings=TeacherSettings())
    assert (teacher.kind, teacher.name, teacher.dim) == ("network", "mine", 8)
    inputs = Preprocessing(crop=32, resize=36)(photos(3))
    with torch.inference_mode():
        expected = tiny_resnet().embedder(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(teacher.embed(photos(3)), expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(np.linalg.norm(expected, axis=1), 1, atol=0.1)


def test_the_identity_of_a_network(tmp_path: Path) -> None:
    folders = [
        write_network(tmp_path / "a"),
        write_network(tmp_path / "b", seed=1),
        write_network(tmp_path / "c", resize=40),
        write_network(tmp_path / "d"),
    ]
    found = [open_teacher(str(folder), settings=TeacherSettings()).identity for folder in folders]
    assert len(set(found)) == 3
    assert found[0] == found[3]


def test_a_network_has_its_own_preprocessing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="its own preprocessing"):
        open_teacher(str(write_network(tmp_path / "a")), settings=TeacherSettings(crop=32))
    with pytest.raises(InvalidInput, match="holds no network"):
        open_teacher(str(tmp_path), settings=TeacherSettings())


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a timm architecture, and a reader that stands for the reader of the room."""
    torch.manual_seed(0)
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model("resnet10t", num_classes=0).state_dict(), file)

    def load_weights(embedder: Embedder, file: Path) -> None:
        embedder.backbone.load_state_dict(torch.load(file, weights_only=True))

    monkeypatch.setattr(network, "load_weights", load_weights, raising=False)
    return file


def test_timm_gives_pooled_features_with_its_own_preprocessing(weights: Path) -> None:
    teacher = open_teacher("timm:resnet10t", settings=TeacherSettings(weights=str(weights), crop=64, resize=70))
    assert (teacher.kind, teacher.name, teacher.dim, teacher.bicubic) == ("timm", "resnet10t", 512, True)
    known = timm.get_pretrained_cfg("resnet10t")
    assert known is not None
    assert (teacher.preprocessing.mean, teacher.preprocessing.std) == (known.mean, known.std)
    model: nn.Module = timm.create_model("resnet10t", num_classes=0).eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    inputs = np.stack([teacher.prepare(image) for image in photos(2)])
    mean, std = (np.array(one, np.float32).reshape(3, 1, 1) for one in (known.mean, known.std))
    with torch.inference_mode():
        expected = model(torch.from_numpy((inputs - mean) / std)).numpy()
    np.testing.assert_allclose(teacher.embed(photos(2)), expected, rtol=1e-3, atol=1e-4)


def test_sides_are_those_of_timm(weights: Path) -> None:
    teacher = open_teacher("timm:resnet10t", settings=TeacherSettings(weights=str(weights)))
    assert (teacher.preprocessing.crop, teacher.preprocessing.resize) == (176, 201)  # 176 / 0.875
    bilinear = open_teacher("timm:resnet10t", settings=TeacherSettings(weights=str(weights), interpolation="bilinear"))
    assert not bilinear.bicubic
    assert bilinear.identity != teacher.identity


def test_what_timm_teachers_refuse(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = TeacherSettings(weights=str(weights))
    for settings in (given, TeacherSettings()):
        with pytest.raises(UnknownName, match="resnet10x"):
            open_teacher("timm:resnet10x", settings=settings)
    with pytest.raises(InvalidInput, match="no weights") as caught:
        open_teacher("timm:resnet10t", settings=TeacherSettings())
    assert "--teacher-option weights=FILE" in caught.value.hint
    with pytest.raises(InvalidInput, match=r"none\.pth"):
        open_teacher("timm:resnet10t", settings=TeacherSettings(weights="none.pth"))
    with pytest.raises(InvalidInput, match="takes no setting output"):
        open_teacher("timm:resnet10t", settings=TeacherSettings(output="x").over(given))
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _: PretrainedCfg(crop_mode="border"))
    with pytest.raises(InvalidInput, match=r"fitted in another way \(border\)"):
        open_teacher("timm:resnet10t", settings=given)


def test_timm_squashes_some_images() -> None:
    steps, _ = _timm_preprocessing("dm_nfnet_f0", TeacherSettings())
    assert (steps.crop, steps.resize, steps.fit) == (192, 213, "squash")  # 192 / 0.9
    steps, _ = _timm_preprocessing("resnet10t", TeacherSettings(crop=(64, 32), fit="pad"))
    assert (steps.crop, steps.resize, steps.fit) == ((64, 32), (73, 36), "pad")  # divided by 0.875


def test_other_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        open_teacher(str(tmp_path / "none.onnx"), settings=TeacherSettings())
    (tmp_path / "vectors.npy").write_bytes(b"")
    with pytest.raises(InvalidInput, match="no model and no vectors"):
        open_teacher(str(tmp_path / "vectors.npy"), settings=TeacherSettings())
    with pytest.raises(InvalidInput, match="its own weights"):
        open_teacher(str(tmp_path), settings=TeacherSettings(weights="w.pth"))


def test_threads_are_those_of_torch(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        open_teacher(str(write_network(tmp_path / "a")), settings=TeacherSettings(), threads=3)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow  # the process imports torch
def test_its_vectors_are_cached_by_a_process_of_its_own(tmp_path: Path) -> None:
    teacher = open_teacher(str(write_network(tmp_path / "a")), settings=TeacherSettings())
    split = array_split(6)
    cache = teacher_vectors(teacher, split, flip=False, folder=tmp_path / "cache", workers=1)
    found = cache.take(0, range(6))
    cache.close()
    np.testing.assert_allclose(found, teacher.embed([split.image(i) for i in range(6)]), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch 2.11 warns of itself
def test_an_export_of_torch_is_a_teacher(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    file = tmp_path / "m.onnx"
    torch.onnx.export(
        model.eval(), (torch.zeros(2, 3, 16, 16),), file, dynamic_shapes=({0: "b"},), dynamo=True, verbose=False
    )
    settings = TeacherSettings(crop=16, resize=18, mean=(0, 0, 0), std=(1, 1, 1))
    teacher = open_teacher(str(file), settings=settings)
    inputs = torch.from_numpy(teacher.preprocessing(photos(3)))
    with torch.inference_mode():
        np.testing.assert_allclose(teacher.embed(photos(3)), model(inputs).numpy(), rtol=1e-4, atol=1e-5)
