from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes import CompileInputs, Model, find_runtime
from prunnet_export.runtimes.mnn import Mnn
from prunnet_export.runtimes.mnn._file import layers
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from prunnet_export.target import find_target
from tests.runtimes.mnn._networks import draw, in_blocks, scattered, write

pytest.importorskip("MNN")


def images(count: int = 3, size: int = 16) -> np.ndarray:
    return np.random.default_rng(1).random((count, 3, size, size), np.float32)


@pytest.fixture
def tiny_mnn(tiny_model: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny network as MNN's."""

    def build(**changed: object) -> Path:
        folder = tmp_path / "compiled"
        folder.mkdir()
        [name] = Mnn().compile(tiny_model(**changed), folder, precision="fp32")
        return folder / name

    return build


@pytest.fixture
def sparse_onnx(tmp_path: Path) -> Path:
    """A network with two layers whose zeros stand in blocks."""
    return write(tmp_path / "sparse.onnx", in_blocks(draw(seed=1), kept=2), in_blocks(draw(seed=2), kept=3))


def test_its_target_profits_from_every_pattern_that_it_names() -> None:
    target = find_target("x86-mnn")
    assert target.patterns == ("block", "channel", "unstructured")
    assert [find_runtime(target.runtime).ignored(pattern) for pattern in target.patterns] == [None] * 3
    assert all(Mnn().precision(name) for name in target.precisions)


def test_zeros_of_n_m_are_ignored() -> None:
    sentence = Mnn().ignored("2:4")
    assert sentence is not None
    assert sentence.startswith("mnn ignores n:m zeros")
    assert "--pattern block" in sentence


@pytest.mark.parametrize("kind", [in_blocks, scattered])
def test_sparse_layers_compute_what_dense_ones_do(kind: Callable[..., np.ndarray], tmp_path: Path) -> None:
    file = write(tmp_path / "n.onnx", kind(draw(seed=1), kept=2))
    [name] = Mnn().compile(file, tmp_path, precision="fp32")
    assert [layer.name for layer in layers((tmp_path / name).read_bytes()) if layer.multiplied] == ["x2"]
    wanted = OnnxRuntime().open(Model(file, "onnxruntime"), threads=1).run(images(size=12))
    for threads in (1, 2):
        found = Mnn().open(Model(tmp_path / name, "mnn"), threads=threads).run(images(size=12))
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("inputs", [8, 1])
def test_grouped_layers_stay_whole_and_dense(inputs: int, tmp_path: Path) -> None:
    weights = scattered(draw(seed=1)[:, :inputs], kept=2)
    file = write(tmp_path / "n.onnx", weights)
    [name] = Mnn().compile(file, tmp_path, precision="fp32")
    shipped = {layer.name: layer for layer in layers((tmp_path / name).read_bytes())}
    np.testing.assert_array_equal(shipped["x2"].weights, weights)
    assert shipped["x2"].multiplied is None
    wanted = OnnxRuntime().open(Model(file, "onnxruntime"), threads=1).run(images(size=12))
    found = Mnn().open(Model(tmp_path / name, "mnn"), threads=2).run(images(size=12))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_an_embedding_is_normalised_by_its_own_length_alone(tmp_path: Path) -> None:
    # MNN 3.6 takes the norm over the whole batch where the axis is an input of the operator.
    file = write(tmp_path / "n.onnx", draw(seed=1))
    [name] = Mnn().compile(file, tmp_path, precision="fp32")
    embeddings = Mnn().open(Model(tmp_path / name, "mnn")).run(images(5, size=12))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_reads_the_weights_it_wrote(sparse_onnx: Path, tmp_path: Path) -> None:
    [name] = Mnn().compile(sparse_onnx, tmp_path, precision="fp32")
    weights = Mnn().read_weights(Model(tmp_path / name, "mnn"))
    assert {key: value.shape for key, value in weights.items()} == {
        "x1": (16, 3, 3, 3),
        "x2": (16, 16, 3, 3),
        "x3": (16, 16, 3, 3),
        "g__matmul_converted": (8, 16, 1, 1),
    }
    wanted = OnnxRuntime().read_weights(Model(sparse_onnx, "onnxruntime"))
    np.testing.assert_array_equal(weights["x2"], wanted["w1"])
    np.testing.assert_array_equal(weights["x3"], wanted["w2"])
    np.testing.assert_array_equal(weights["g__matmul_converted"].reshape(8, 16), wanted["head"])
    assert not np.all(weights["x2"])


def test_a_layer_that_is_slower_sparse_ships_dense_with_its_zeros(sparse_onnx: Path, tmp_path: Path) -> None:
    seen: list[set[str]] = []

    def slow_second(file: Path) -> dict[str, float]:
        times = Mnn().layer_times(Model(file, "mnn"), threads=1)
        sparse = {layer.name for layer in layers(file.read_bytes()) if layer.multiplied}
        seen.append(sparse)
        assert {"x1", "x2", "x3"} <= set(times)
        return {"x1": 0.1, "x2": 1.0 if "x2" in sparse else 10.0, "x3": 3.0 if "x3" in sparse else 1.0}

    [name] = Mnn().compile(sparse_onnx, tmp_path, precision="fp32", inputs=CompileInputs(layer_times=slow_second))
    assert seen == [set(), {"x2", "x3"}, {"x2"}]
    shipped = {layer.name: layer for layer in layers((tmp_path / name).read_bytes())}
    assert {key for key, layer in shipped.items() if layer.multiplied} == {"x2"}
    wanted = OnnxRuntime().read_weights(Model(sparse_onnx, "onnxruntime"))
    np.testing.assert_array_equal(shipped["x2"].weights, wanted["w1"])
    np.testing.assert_array_equal(shipped["x3"].weights, wanted["w2"])


def test_layers_are_timed_by_the_names_that_weights_have(sparse_onnx: Path, tmp_path: Path) -> None:
    [name] = Mnn().compile(sparse_onnx, tmp_path, precision="fp32")
    times = Mnn().layer_times(Model(tmp_path / name, "mnn"), threads=1)
    assert set(Mnn().read_weights(Model(tmp_path / name, "mnn"))) <= set(times)
    assert all(time > 0 for time in times.values())


def test_every_operator_is_placed(tiny_mnn: Callable[..., Path]) -> None:
    placement = Mnn().placement(Model(tiny_mnn(), "mnn"))
    assert set(placement) == {"CPU"}
    assert placement["CPU"] >= 4


@pytest.mark.parametrize("content", [b"", b"garbage", b"\0" * 4096, b"\x08\x09\x12" * 999, None])
def test_a_file_that_is_no_model_is_one_short_line(
    content: bytes | None, tiny_mnn: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "broken.mnn"
    model.write_bytes(tiny_mnn().read_bytes()[:300] if content is None else content)
    for use in (
        lambda: Mnn().open(Model(model, "mnn")),
        lambda: Mnn().read_weights(Model(model, "mnn")),
        lambda: Mnn().compile(model, tmp_path, precision="fp32"),
        lambda: Mnn().layer_times(Model(model, "mnn")),
    ):
        with pytest.raises(InvalidInput) as caught:
            use()
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 250
        assert str(tmp_path) not in caught.value.message
        assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_an_onnx_file_is_no_model_of_this_engine(tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="no model that mnn can load"):
        Mnn().open(Model(tiny_model(), "mnn"))


def test_layers_of_a_fixed_batch_are_timed(tiny_mnn: Callable[..., Path]) -> None:
    assert Mnn().layer_times(Model(tiny_mnn(batch=2), "mnn"))


def test_two_sessions_do_not_share_their_batch(tiny_mnn: Callable[..., Path]) -> None:
    model = tiny_mnn()
    one, other = (Mnn().open(Model(model, "mnn"), threads=threads) for threads in (1, 2))
    wanted = one.run(images())
    assert other.run(images(1)).shape == (1, 8)
    np.testing.assert_array_equal(one.run(images()), wanted)


def test_nothing_is_printed(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from prunnet_export.runtimes import Model; from prunnet_export.runtimes.mnn import Mnn\n"
        "onnx, folder = map(Path, sys.argv[1:]); mnn = Mnn(); mnn.version()\n"
        "file = folder / mnn.compile(onnx, folder, precision='fp32')[0]\n"
        "session = mnn.open(Model(file, 'mnn'))\n"
        "session.run(np.zeros((2, 3, 16, 16), np.float32)); mnn.placement(Model(file, 'mnn'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source, str(tiny_model()), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
