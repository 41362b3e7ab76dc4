"""Every setting that changes the vectors changes the identity of a teacher, and so its cache; others are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import timm
import torch

from prunnet_export import InvalidInput
from prunnet_export.network_config import CONFIG_FILE
from prunnet_export.teachers import TeacherSettings, open_teacher
from tests.teachers._teachers import onnx_teacher

SETTINGS = TeacherSettings.__struct_fields__
OTHER: dict[str, Any] = {
    "resize": 7,
    "crop": (3, 2),
    "fit": "squash",
    "mean": (0.5, 0.5, 0.4),
    "std": (1.0, 1.0, 2.0),
    "range": 255,
    "channels": "bgr",
    "interpolation": "bicubic",
    "layout": "nhwc",
    "output": "nchw",
}
# A setting with one value that fits to an output has no other one. Weights are of timm only.
NOT_OF_ONNX = {"pool", "weights"}
OF_TIMM = {"resize", "crop", "fit", "mean", "std", "interpolation", "weights"}


def changed(base: TeacherSettings, setting: str) -> TeacherSettings:
    return msgspec.structs.replace(base, **{setting: OTHER[setting]})


@pytest.mark.parametrize("setting", sorted({*SETTINGS} - NOT_OF_ONNX))
def test_of_an_onnx_model(tmp_path: Path, setting: str) -> None:
    pytest.importorskip("onnxruntime")
    # With three pixels of height the input fits to both layouts.
    file = str(onnx_teacher(tmp_path / "m.onnx", side="side", outputs=["map", "nchw"]))
    base = TeacherSettings(crop=3, resize=6, mean=(0.5, 0.5, 0.5), std=(1, 1, 1), output="map", pool="average")
    identities = {open_teacher(file, settings=one).identity for one in (base, base, changed(base, setting))}
    assert len(identities) == 2


@pytest.mark.parametrize("setting", SETTINGS)
def test_of_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    files = [tmp_path / "a.pth", tmp_path / "b.pth"]
    for seed, file in enumerate(files):
        torch.manual_seed(seed)
        torch.save(timm.create_model("resnet10t", num_classes=0).state_dict(), file)
    monkeypatch.setitem(OTHER, "weights", str(files[1]))
    monkeypatch.setitem(OTHER, "pool", "average")
    monkeypatch.setitem(OTHER, "crop", (32, 64))
    monkeypatch.setitem(OTHER, "resize", 80)
    base = TeacherSettings(crop=32, resize=70, interpolation="bilinear", weights=str(files[0]))
    if setting not in OF_TIMM:
        with pytest.raises(InvalidInput, match=f"takes no setting {setting}"):
            open_teacher("timm:resnet10t", settings=changed(base, setting))
        return
    identities = {open_teacher("timm:resnet10t", settings=one).identity for one in (base, base, changed(base, setting))}
    assert len(identities) == 2


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_network_takes_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setitem(OTHER, "weights", "w.pth")
    monkeypatch.setitem(OTHER, "pool", "average")
    (tmp_path / CONFIG_FILE).write_text("{}")
    with pytest.raises(InvalidInput, match="has its own"):
        open_teacher(str(tmp_path), settings=changed(TeacherSettings(), setting))
