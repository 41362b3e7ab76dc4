"""The example of a target and a runtime in another package, installed and used as its users do."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kiosk.our_kiosk.runtime import INT8_DYNAMIC, OrtFile
from prunnet_export import InvalidInput, MissingExtra, UnknownName
from prunnet_export.runtimes import Model, find_runtime
from tests._cli import Ran, assert_error, environment, shell, tiny_data, tiny_network, tree
from tests.conftest import TinyModel

pytest.importorskip("onnxruntime", minversion="1.24", reason="the example asks for it")

__all__ = ["environment", "tiny_data", "tiny_network"]

Environment = dict[str, str]

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "kiosk"
PAGE = ROOT / "docs" / "add-your-device.md"
SHOWN = ["pyproject.toml", "our_kiosk/target.py", "our_kiosk/runtime.py"]


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_shows_the_files_as_they_are(name: str) -> None:
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) == len(SHOWN)
    assert blocks[SHOWN.index(name)] == (EXAMPLE / name).read_text("utf-8")


def test_it_needs_nothing_private() -> None:
    used = set()
    for file in EXAMPLE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name for name in used if name.startswith("prunnet_export.")}
    assert "prunnet_export.runtimes.Runtime" in ours
    assert not [name for name in ours if "._" in name]


# -- the package, installed ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment of a shell with the example installed. It is built from a copy, because a build leaves files."""
    folder = tmp_path_factory.mktemp("plugin")
    clean = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    source = shutil.copytree(EXAMPLE, folder / "source", ignore=clean)
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    ran = shell(environment, sys.executable, "-m", "pip", "install", *offline, "--target", folder / "site", source)
    assert ran.code == 0, ran.err
    path = [str(folder / "site"), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}


@pytest.fixture(scope="module")
def exported(
    installed: Environment, tiny_network: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ran, Path]:
    """One whole export, and the folder of its artifact."""
    place = tmp_path_factory.mktemp("export") / "kiosk"
    ran = shell(
        installed, "prunnet-export", "--target=kiosk", f"--network={tiny_network}", f"--data={tiny_data}",
        "--min-recall=0", "--threads=1", "--budget-ms=1000", f"--out={place}", "--output-format=json",
    )  # fmt: skip
    return ran, place


def test_it_is_listed_as_a_peer(installed: Environment) -> None:
    ran = shell(installed, "prunnet-export", "--list-targets", "--output-format=json")
    assert ran.code == 0, ran.err
    targets = {target["name"]: target for target in json.loads(ran.out)["targets"]}
    assert {"x86-onnxruntime", "kiosk"} <= set(targets)
    assert targets["kiosk"]["runtime"] == "ort-file"
    assert targets["kiosk"]["state"] == "runs here"


def test_an_export_is_measured_and_verified(exported: tuple[Ran, Path]) -> None:
    ran, place = exported
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["status"] == "verified"
    assert report["latency"]["source"] == "measured"
    assert report["latency"]["runtime"] == "ort-file"
    names = {".gitattributes", "README.md", "manifest.json", "model.ort", "verification.npz"}
    assert {name for name in tree(place) if not name.startswith("golden")} == names


def test_a_precision_of_its_own_is_verified_and_proved_again(
    installed: Environment, tiny_network: Path, tiny_data: Path, tmp_path: Path
) -> None:
    ran = shell(
        installed, "prunnet-export", "--target=kiosk", f"--network={tiny_network}", f"--data={tiny_data}",
        "--min-recall=0", "--threads=1", "--budget-ms=1000", "--precision=int8-dynamic", f"--out={tmp_path / 'kiosk'}",
        "--output-format=json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    manifest = json.loads((tmp_path / "kiosk" / "manifest.json").read_bytes())
    assert manifest["subnetwork"]["precision"] == "int8-dynamic"
    parity = next(gate for gate in manifest["verification"]["gates"] if gate["name"] == "parity")
    assert parity["threshold"] == INT8_DYNAMIC.parity
    assert {"onnxruntime", "flatbuffers", "our-kiosk"} <= set(manifest["tools"])
    assert_proved(shell(installed, "prunnet-bench", tmp_path / "kiosk", "--output-format=json"))


def test_the_doctor_lists_what_it_uses(installed: Environment) -> None:
    ran = shell(installed, "prunnet-export", "--doctor", "--output-format=json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["packages"]["our-kiosk"] == "1.0"


def test_the_artifact_is_proved_again(exported: tuple[Ran, Path], installed: Environment) -> None:
    assert_proved(shell(installed, "prunnet-bench", exported[1], "--output-format=json"))


def assert_proved(ran: Ran) -> None:
    """Every check passes, and none is missing."""
    assert ran.code == 0, ran.err
    checks = {check["name"].partition(": ")[2]: check["passed"] for check in json.loads(ran.out)["checks"]}
    assert {"parity", "zeros kept", "weights shipped", "placement"} <= set(checks)
    assert all(checks.values())


def test_without_it_the_target_is_unknown(environment: Environment) -> None:
    ran = shell(environment, "prunnet-export", "--target=kiosk", "--budget-ms=1000")
    assert_error(ran, 2)
    assert "unknown target 'kiosk'" in ran.err


def test_without_it_the_artifact_names_what_is_missing(exported: tuple[Ran, Path], environment: Environment) -> None:
    ran = shell(environment, "prunnet-bench", exported[1])
    assert_error(ran, 2)
    assert "unknown runtime 'ort-file'" in ran.err


# -- the runtime ---------------------------------------------------------------------------------------------


@pytest.fixture
def model(tiny_model: TinyModel, tmp_path: Path) -> Path:
    """A tiny network, compiled."""
    [name] = OrtFile().compile(tiny_model(), tmp_path, precision="fp32")
    return tmp_path / name


def test_it_computes_what_the_onnx_file_says(model: Path, tiny_model: TinyModel) -> None:
    images = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    expected = find_runtime("onnxruntime").open(Model(tiny_model(), "onnxruntime")).run(images)
    session = OrtFile().open(Model(model, "ort-file"), threads=1)
    assert (session.shape.batch, session.shape.height, session.shape.width, session.shape.dim) == (None, 16, 16, 8)
    np.testing.assert_allclose(session.run(images), expected, atol=1e-6)


def test_its_weights_are_those_of_the_onnx_file_to_the_bit(model: Path, tiny_model: TinyModel) -> None:
    expected = find_runtime("onnxruntime").read_weights(Model(tiny_model(), "onnxruntime"))
    found = OrtFile().read_weights(Model(model, "ort-file"))
    assert set(found) == set(expected) == {"conv.weight", "head.weight"}
    for name, weights in expected.items():
        np.testing.assert_array_equal(found[name], weights, strict=True)


def test_its_own_precision_keeps_zeros_and_directions(tiny_model: TinyModel, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    network = onnx.load(tiny_model())
    [tensor] = [tensor for tensor in network.graph.initializer if tensor.name == "conv.weight"]
    weights = onnx.numpy_helper.to_array(tensor).copy()
    weights[::2] = 0
    tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
    onnx.save(network, tmp_path / "zeros.onnx")
    [name] = OrtFile().compile(tmp_path / "zeros.onnx", tmp_path, precision="int8-dynamic")
    model = Model(tmp_path / name, "ort-file", "int8-dynamic")
    found = {one.dtype.name: one for one in OrtFile().read_weights(model).values() if one.ndim == 4}
    assert set(found) == {"int8"}
    assert not found["int8"][::2].any()
    images = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    exact = find_runtime("onnxruntime").open(Model(tmp_path / "zeros.onnx", "onnxruntime")).run(images)
    assert (OrtFile().open(model, threads=1).run(images) * exact).sum(1).min() > INT8_DYNAMIC.parity


def test_every_node_runs_on_the_processor(model: Path) -> None:
    placed = OrtFile().placement(Model(model, "ort-file"))
    assert set(placed) == {OrtFile.places_on}
    assert placed["CPU"] >= 4  # Relu is fused into its convolution


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "channel+2:4", "block"])
def test_it_says_which_zeros_it_ignores(pattern: str) -> None:
    assert "ort-file" in str(OrtFile().ignored(pattern))
    assert OrtFile().ignored("channel") is None


def test_another_precision_is_refused(model: Path) -> None:
    for ask in (OrtFile().open, OrtFile().placement):
        with pytest.raises(UnknownName, match="int8"):
            ask(Model(model, "ort-file", "int8"))


def test_what_is_no_embedding_network_is_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    network = onnx.load(tiny_model())
    network.graph.output.append(onnx.helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, None))
    onnx.save(network, tmp_path / "two.onnx")
    [name] = OrtFile().compile(tmp_path / "two.onnx", tmp_path, precision="fp32")
    with pytest.raises(InvalidInput, match="not an embedding network"):
        OrtFile().open(Model(tmp_path / name, "ort-file"))


def test_another_format_is_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    for file in (tiny_model(), tmp_path / "none.ort"):
        with pytest.raises(InvalidInput, match=f"refused {file.name}"):
            OrtFile().read_weights(Model(file, "ort-file"))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """A compiled network's bytes, and a file that a test may damage."""
    onnx = pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("hostile")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.ones((2, 3, 4, 4), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["i", "weights"], ["c"]), helper.make_node("Flatten", ["c"], ["e"])],
        "hostile",
        [helper.make_tensor_value_info("i", kind, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("e", kind, ["n", 2])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "m.onnx")
    [name] = OrtFile().compile(folder / "m.onnx", folder, precision="fp32")
    return (folder / name).read_bytes(), folder / "spoilt.ort"


@given(share=st.floats(0, 0.99))
def test_a_truncated_file_is_refused(content: tuple[bytes, Path], share: float) -> None:
    whole, file = content
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InvalidInput, match=re.escape("refused spoilt.ort")):
        OrtFile().read_weights(Model(file, "ort-file"))


def test_a_refusal_prints_nothing(content: tuple[bytes, Path], capfd: pytest.CaptureFixture[str]) -> None:
    whole, file = content
    assert b"Conv" in whole
    file.write_bytes(whole.replace(b"Conv", b"Con\xff"))
    with pytest.raises(InvalidInput, match=re.escape("refused spoilt.ort")):
        OrtFile().open(Model(file, "ort-file"))
    assert capfd.readouterr() == ("", "")


def test_a_name_that_is_no_text_does_not_hide_a_tensor(content: tuple[bytes, Path]) -> None:
    whole, file = content
    assert b"weights" in whole
    file.write_bytes(whole.replace(b"weights", b"weight\xff"))
    assert [weights.shape for weights in OrtFile().read_weights(Model(file, "ort-file")).values()] == [(2, 3, 4, 4)]


def test_without_the_engine_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for ask in (OrtFile().version, lambda: OrtFile().read_weights(Model(model, "ort-file"))):
        with pytest.raises(MissingExtra) as caught:
            ask()
        assert caught.value.hint == "pip install 'prunnet-export[onnxruntime]'"
