from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prunnet_export import InvalidInput, PrunnetError
from prunnet_export.teachers import TeacherSettings, open_teacher
from tests.teachers._teachers import SIDE, onnx_teacher, photos

pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx").helper

MATRIX = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
PLAIN = TeacherSettings(crop=SIDE, mean=(0, 0, 0), std=(1, 1, 1))


def colours(images: list[Image.Image]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The mean of each colour of the centre crop, computed without the package's preprocessing."""
    small = [image.resize((round(SIDE * 1.2), SIDE), Image.Resampling.BILINEAR) for image in images]
    means = [np.asarray(one, np.float32)[:, 1 : 1 + SIDE].mean((0, 1)) for one in small]
    return (np.stack(means) / 255).astype(np.float32)


def test_vectors_are_those_of_the_model(tmp_path: Path) -> None:
    teacher = open_teacher(str(onnx_teacher(tmp_path / "m.onnx")), settings=PLAIN, threads=1)
    assert (teacher.kind, teacher.name, teacher.dim) == ("onnx", "m.onnx", 5)
    images = photos(3)
    np.testing.assert_allclose(teacher.embed(images), colours(images) @ MATRIX, atol=1e-5)
    assert teacher.embed([]).shape == (0, 5)


def test_mean_and_std_are_in_the_units_of_range_and_the_order_of_channels(tmp_path: Path) -> None:
    images, mean, std = photos(3), np.array([10.0, 20, 30], np.float32), np.array([2.0, 4, 5], np.float32)
    settings = TeacherSettings(crop=SIDE, mean=tuple(mean.tolist()), std=tuple(std.tolist()), range=255, channels="bgr")
    teacher = open_teacher(str(onnx_teacher(tmp_path / "m.onnx")), settings=settings)
    expected = (colours(images)[:, ::-1] * 255 - mean) / std @ MATRIX
    np.testing.assert_allclose(teacher.embed(images), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(teacher.preprocessing.mean, mean[::-1] / 255, rtol=1e-6)


@pytest.mark.parametrize("batch", ["batch", 1, 2, 7])
def test_a_fixed_batch_is_filled_up(tmp_path: Path, batch: int | str) -> None:
    teacher = open_teacher(str(onnx_teacher(tmp_path / "m.onnx", batch=batch)), settings=PLAIN)
    images = photos(5)
    np.testing.assert_allclose(teacher.embed(images), colours(images) @ MATRIX, atol=1e-5)


def test_float16_is_converted(tmp_path: Path) -> None:
    teacher = open_teacher(str(onnx_teacher(tmp_path / "m.onnx", float16=True)), settings=PLAIN)
    vectors = teacher.embed(photos(3))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, colours(photos(3)) @ MATRIX, atol=1e-2)


def test_the_layout_with_channels_last(tmp_path: Path) -> None:
    file = str(onnx_teacher(tmp_path / "m.onnx", channels_last=True))
    with pytest.raises(InvalidInput, match=r"\[batch, 8, 8, 3\]") as caught:
        open_teacher(file, settings=PLAIN)
    assert 'layout = "nhwc"' in caught.value.hint
    teacher = open_teacher(file, settings=TeacherSettings(layout="nhwc").over(PLAIN))
    np.testing.assert_allclose(teacher.embed(photos(3)), colours(photos(3)) @ MATRIX, atol=1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_feature_map_is_pooled_only_if_asked(tmp_path: Path, channels_last: bool) -> None:
    settings = TeacherSettings(layout="nhwc" if channels_last else "nchw").over(PLAIN)
    file = str(onnx_teacher(tmp_path / "m.onnx", outputs=["map"], channels_last=channels_last))
    with pytest.raises(InvalidInput, match=r"m\.onnx: its output has the shape \[2, . 8, .\]".replace(". ", ".*")) as e:
        open_teacher(file, settings=settings)
    assert 'pool = "average"' in e.value.hint
    teacher = open_teacher(file, settings=TeacherSettings(pool="average").over(settings))
    np.testing.assert_allclose(teacher.embed(photos(3)), colours(photos(3)), atol=1e-5)


def test_tokens_are_taken_only_if_asked(tmp_path: Path) -> None:
    file = str(onnx_teacher(tmp_path / "m.onnx", outputs=["tokens"]))
    with pytest.raises(InvalidInput, match=r"\[2, 64, 3\]") as caught:
        open_teacher(file, settings=PLAIN)
    assert 'pool = "first-token"' in caught.value.hint
    with pytest.raises(InvalidInput, match="does not fit"):
        open_teacher(file, settings=TeacherSettings(pool="average").over(PLAIN))
    teacher = open_teacher(file, settings=TeacherSettings(pool="first-token").over(PLAIN))
    image = photos(1)[0]
    np.testing.assert_allclose(teacher.embed([image])[0], teacher.prepare(image)[:, 0, 0], atol=1e-6)


def test_several_outputs_need_a_name(tmp_path: Path) -> None:
    file = str(onnx_teacher(tmp_path / "m.onnx", outputs=["map", "vector", "classes"]))
    with pytest.raises(InvalidInput, match=r"3 outputs \(map \[.*vector \[batch, 5\], classes \[batch\]\)"):
        open_teacher(file, settings=PLAIN)
    with pytest.raises(InvalidInput, match="no output 'victor'"):
        open_teacher(file, settings=TeacherSettings(output="victor").over(PLAIN))
    with pytest.raises(InvalidInput, match=r"classes is tensor\(int64\)"):
        open_teacher(file, settings=TeacherSettings(output="classes").over(PLAIN))
    assert open_teacher(file, settings=TeacherSettings(output="vector").over(PLAIN)).dim == 5


def test_several_inputs_are_refused_unless_they_have_defaults(tmp_path: Path) -> None:
    file = onnx_teacher(tmp_path / "m.onnx", inputs=["image", "text"])
    with pytest.raises(InvalidInput, match=r"2 inputs \(image, text\)"):
        open_teacher(str(file), settings=PLAIN)
    onnx = pytest.importorskip("onnx")
    model = onnx.load(file)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 3, SIDE, SIDE), np.float32), "text"))
    onnx.save(model, file)
    assert open_teacher(str(file), settings=PLAIN).dim == 5


def test_the_side_is_asked_for_if_the_file_does_not_fix_it(tmp_path: Path) -> None:
    fixed = str(onnx_teacher(tmp_path / "fixed.onnx"))
    assert open_teacher(fixed, settings=TeacherSettings()).preprocessing.crop == SIDE
    with pytest.raises(InvalidInput, match="8 x 8 px, and crop is 16"):
        open_teacher(fixed, settings=TeacherSettings(crop=16))
    free = str(onnx_teacher(tmp_path / "free.onnx", side="side"))
    with pytest.raises(InvalidInput, match="any size"):
        open_teacher(free, settings=TeacherSettings(resize=20))
    with pytest.raises(InvalidInput, match="crops 24 pixels out of 20"):
        open_teacher(free, settings=TeacherSettings(crop=24, resize=20))
    assert open_teacher(free, settings=TeacherSettings(crop=16, resize=20)).preprocessing.resize == 20


def test_an_image_may_be_higher_than_wide(tmp_path: Path) -> None:
    fixed = str(onnx_teacher(tmp_path / "fixed.onnx", side=16, width=8))
    teacher = open_teacher(fixed, settings=TeacherSettings(fit="squash"))
    assert (teacher.preprocessing.size, teacher.preprocessing.fit) == ((16, 8), "squash")
    assert teacher.prepare(Image.new("RGB", (90, 40))).shape == (3, 16, 8)
    for wrong in (8, 16, (8, 16)):
        with pytest.raises(InvalidInput, match=r"takes images of 16 x 8 px, and crop is"):
            open_teacher(fixed, settings=TeacherSettings(crop=wrong))
    half = str(onnx_teacher(tmp_path / "half.onnx", side=16, width="width"))
    with pytest.raises(InvalidInput, match="16 x any px, and crop is 8"):
        open_teacher(half, settings=TeacherSettings(crop=8))
    assert open_teacher(half, settings=TeacherSettings(crop=(16, 4))).preprocessing.size == (16, 4)


def test_defaults_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = str(onnx_teacher(tmp_path / "m.onnx"))
    with caplog.at_level("INFO", "prunnet_export"):
        teacher = open_teacher(file, settings=TeacherSettings(channels="bgr"))
    assert teacher.preprocessing.mean == (0.485, 0.456, 0.406)
    assert "mean and std are not given; those of ImageNet are taken" in caplog.text
    assert "resize is not given" in caplog.text
    with pytest.raises(InvalidInput, match=r"0\.\.255"):
        open_teacher(file, settings=TeacherSettings(range=255))
    with pytest.raises(InvalidInput, match="not both"):
        open_teacher(file, settings=TeacherSettings(mean=(0, 0, 0)))


def test_the_identity_is_that_of_the_bytes_and_the_preprocessing(tmp_path: Path) -> None:
    def identity(name: str = "m.onnx", settings: TeacherSettings = PLAIN, **shape: Any) -> str:
        return open_teacher(str(onnx_teacher(tmp_path / name, **shape)), settings=settings).identity

    found = [
        identity(),
        identity(batch=2),
        *(
            identity(settings=one.over(PLAIN))
            for one in (
                TeacherSettings(resize=9),
                TeacherSettings(mean=(0, 0, 0.1)),
                TeacherSettings(channels="bgr"),
                TeacherSettings(interpolation="bicubic"),
            )
        ),
    ]
    assert len(set(found)) == len(found)
    assert identity("another-name.onnx") == found[0]


def test_bicubic_is_another_vector(tmp_path: Path) -> None:
    file = str(onnx_teacher(tmp_path / "m.onnx"))
    plain, bicubic = (
        open_teacher(file, settings=one.over(PLAIN))
        for one in (TeacherSettings(), TeacherSettings(interpolation="bicubic"))
    )
    assert np.abs(plain.embed(photos(1)) - bicubic.embed(photos(1))).max() > 1e-4


def test_the_opener_opens_the_same_teacher_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_teacher(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    teacher = open_teacher("m.onnx", settings=PLAIN)
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(teacher.opener))()  # noqa: S301  # made one line above
    assert again.identity == teacher.identity
    np.testing.assert_array_equal(again.embed(photos(3)), teacher.embed(photos(3)))


class TestHostileFiles:
    def test_no_model(self, tmp_path: Path) -> None:
        file = tmp_path / "m.onnx"
        for content in (b"", b"not protobuf \xff\xff", onnx_teacher(file).read_bytes()[:200]):
            file.write_bytes(content)
            assert_refused(file, "not an ONNX model|cannot load it")

    def test_weights_in_a_file_that_is_missing_or_elsewhere(self, tmp_path: Path) -> None:
        onnx = pytest.importorskip("onnx")
        file = onnx_teacher(tmp_path / "m.onnx")
        model = onnx.load(file)
        options = {"save_as_external_data": True, "size_threshold": 0}
        onnx.save(model, file, location="m.data", **options)
        whole = open_teacher(str(file), settings=PLAIN)
        content = (tmp_path / "m.data").read_bytes()
        (tmp_path / "m.data").write_bytes(bytes(8) + content[8:])
        assert open_teacher(str(file), settings=PLAIN).identity != whole.identity
        (tmp_path / "m.data").write_bytes(content[:8])
        assert_refused(file, "cannot load it")
        (tmp_path / "m.data").unlink()
        assert_refused(file, r"m\.data is missing")
        for place in ("../m.data", "/etc/passwd"):
            outside = onnx.load(file, load_external_data=False)
            outside.graph.initializer[0].external_data[0].value = place
            file.write_bytes(outside.SerializeToString())
            assert_refused(file, "outside of its folder")

    def test_an_unknown_operator(self, tmp_path: Path) -> None:
        onnx = pytest.importorskip("onnx")
        file = onnx_teacher(tmp_path / "m.onnx")
        model = onnx.load(file)
        model.opset_import.append(helper.make_opsetid("com.example", 1))
        model.graph.node[0].op_type, model.graph.node[0].domain = "Secret", "com.example"
        file.write_bytes(model.SerializeToString())
        assert "standard operators" in assert_refused(file, "Secret").hint

    def test_a_model_that_runs_on_one_image_only(self, tmp_path: Path) -> None:
        onnx = pytest.importorskip("onnx")
        file = onnx_teacher(tmp_path / "m.onnx")
        model = onnx.load(file)
        [flat] = [one for one in model.graph.node if one.op_type == "Flatten"]
        flat.op_type, flat.input[:] = "Reshape", ["pooled", "one"]
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 3]), "one"))
        file.write_bytes(model.SerializeToString())
        assert "batch of 1" in assert_refused(file, "does not run on 2 image").hint

    @pytest.mark.parametrize("shape", [["batch", 3], ["batch", 1, 8, 8]])
    def test_an_input_that_is_no_image_in_colour(self, tmp_path: Path, shape: list[Any]) -> None:
        onnx = pytest.importorskip("onnx")
        number, file = onnx.TensorProto.FLOAT, tmp_path / "m.onnx"
        graph = helper.make_graph(
            [helper.make_node("Flatten", ["image"], ["vector"])],
            "teacher",
            [helper.make_tensor_value_info("image", number, shape)],
            [helper.make_tensor_value_info("vector", number, ["batch", "d"])],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
        assert_refused(file, "shape")

    def test_threads_below_one(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="0 threads"):
            open_teacher(str(onnx_teacher(tmp_path / "m.onnx")), settings=PLAIN, threads=0)


def assert_refused(file: Path, says: str) -> PrunnetError:
    with pytest.raises(InvalidInput, match=says) as caught:
        open_teacher(str(file), settings=PLAIN)
    assert file.name in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value
