from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prunnet_export import InvalidInput
from prunnet_export.teachers import TeacherSettings, make_settings, read_teacher_settings, teacher_settings

ALL = """
resize = 256
crop = 224
mean = [103.9, 116.8, 123.7]
std = [1, 1, 1]
range = 255
channels = "bgr"
interpolation = "bicubic"
layout = "nhwc"
output = "vector"
pool = "average"
weights = "weights.pth"
fit = "pad"
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    file = tmp_path / "teacher.toml"
    file.write_text(ALL)
    settings = read_teacher_settings(file)
    assert settings.given().keys() == set(TeacherSettings.__struct_fields__)
    assert settings.mean == (103.9, 116.8, 123.7)
    assert settings.weights == str(tmp_path / "weights.pth")


def test_the_command_line_wins_over_the_file_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("crop = 224\nresize = 256\n")
    (tmp_path / "other.toml").write_text("crop = 96\n")
    given, model = TeacherSettings(resize=240, output="vector"), str(tmp_path / "m.onnx")
    assert teacher_settings(model, given=given) == TeacherSettings(crop=224, resize=240, output="vector")
    named = teacher_settings(model, given=given, file=tmp_path / "other.toml")
    assert named == TeacherSettings(crop=96, resize=240, output="vector")
    assert teacher_settings(str(tmp_path / "m2.onnx"), given=given) == given
    assert teacher_settings("timm:resnet18", given=given) == given


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crop = ", "cannot be read"),
        ("crop = 0", "crop"),
        ("crop = 100000", "crop"),
        ("crops = 224", "crops"),
        ("mean = [0.5, 0.5]", "mean"),
        ("mean = [0.5, 0.5, nan]", "finite|mean"),
        ("std = [1, 1, 0]", "std"),
        ("std = [1, 1, inf]", "std"),
        ("range = 256", "range"),
        ('channels = "gbr"', "channels"),
        ('pool = "max"', "pool"),
        ("\xff", "cannot be read"),
    ],
)
def test_other_values_are_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "teacher.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=says) as caught:
        read_teacher_settings(file)
    assert "teacher.toml" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("key", TeacherSettings.__struct_fields__)
def test_every_wrong_value_is_told_what_is_wanted(key: str, texts: bool) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_settings({key: {"a": "table"}}, where="here", texts=texts)
    assert caught.value.message == f"here: {key} is {{'a': 'table'}}"
    assert caught.value.hint.startswith(f"{key} is ")


def test_numbers_of_the_command_line_are_texts() -> None:
    given = make_settings({"mean": ["0.5", "0.4", "1e-3"], "range": "255"}, where="here", texts=True)
    assert given == TeacherSettings(mean=(0.5, 0.4, 0.001), range=255)
    with pytest.raises(InvalidInput, match=r"here: mean is '0\.5,0\.5'") as caught:
        make_settings({"mean": ["0.5", "0.5"]}, where="here", texts=True)
    assert caught.value.hint == "mean is three numbers, one for each colour"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.toml"):
        read_teacher_settings(tmp_path / "none.toml")


@pytest.mark.parametrize("size", ["224", "[256, 128]"])
def test_settings_leave_the_memory_intact(tmp_path: Path, size: str) -> None:
    (tmp_path / "m.toml").write_text(f"crop = {size}\nresize = {size}\n")
    source = "import gc, pathlib; from prunnet_export.teachers._settings import read_teacher_settings as read; "
    source += f"read(pathlib.Path({str(tmp_path / 'm.toml')!r})); gc.collect()"
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0


@pytest.mark.parametrize("line", ["crop = 99999", "resize = [0, 1]", "resize = [1, 4097]", "crop = -1"])
def test_sizes_are_those_of_images(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.toml").write_text(line)
    with pytest.raises(InvalidInput, match=line.partition(" ")[0]):
        read_teacher_settings(tmp_path / "m.toml")
