"""What a verification says of real INT8 models: the weights that ship, their zeros, and the embeddings."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.artifact import ExpectedWeights, Gate
from prunnet_export.evaluating import Reference
from prunnet_export.evaluating._gates import Expected, Observed, verify
from prunnet_export.evaluating._verifier import _masks
from prunnet_export.runtimes import Model, find_runtime
from prunnet_export.thresholds import Thresholds
from tests._inputs import in_memory
from tests.runtimes._quantised import IMAGES, INPUTS, Cut, cut

RUNTIMES = ["onnxruntime", "openvino"]
CUTS = [("channel", 0.4), ("block", 0.5), ("2:4", 0.5), ("unstructured", 0.3)]


def judge(
    network: Cut, runtime_name: str, folder: Path, *, precision: str, pretend: Cut | None = None
) -> dict[str, Gate]:
    """Compile one network, and hold it against what is expected of another one, or of itself."""
    for module in {"onnxruntime": ["onnx", "onnxruntime"], "openvino": ["openvino", "nncf"]}[runtime_name]:
        pytest.importorskip(module)
    runtime, expected = find_runtime(runtime_name), pretend or network
    names = runtime.compile(network.write(folder), folder, precision=precision, inputs=INPUTS)
    file = folder / names[0]
    session = runtime.open(Model(file, runtime_name, precision), threads=1)
    queries = session.run(IMAGES)
    dense = expected.embeddings()
    weights = expected.weights()
    entry = verify(
        Observed(
            queries=queries,
            from_bytes=session.run(IMAGES[:1]),
            gallery=None,
            weights=runtime.read_weights(Model(file, runtime_name)),
            placement=runtime.placement(Model(file, runtime_name, precision)),
        ),
        Reference(
            network="0" * 64,
            source="in memory",
            images=(b"",) * len(IMAGES),
            teacher_queries=dense,
            subnetwork_queries=dense,
            gallery=dense,
            entry=in_memory(dense),
            relevance=None,
        ),
        Expected(
            ExpectedWeights(
                elements=sum(tensor.size for tensor in weights),
                zeros=sum(int((tensor == 0).sum()) for tensor in weights),
            ),
            masks=_masks(expected.subnetwork),
        ),
        Thresholds(parity=runtime.precision(precision).parity),
    )
    return {gate.name: gate for gate in entry.gates}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("pattern", "capacity"), CUTS)
def test_every_gate_holds_of_int8(pattern: str, capacity: float, runtime: str, tmp_path: Path) -> None:
    network = cut(pattern, capacity)
    gates = judge(network, runtime, tmp_path, precision="int8")
    assert {name for name, gate in gates.items() if not gate.passed} == set()
    assert ("zeros in place" in gates) == (pattern != "channel")
    # The weights are all there, and next to nothing that is none.
    expected = sum(tensor.size for tensor in network.weights())
    assert expected <= gates["weights shipped"].n <= expected + 6  # mean and standard deviation


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_zeros_of_another_cut_are_seen(runtime: str, tmp_path: Path) -> None:
    gates = judge(cut("unstructured", 0.3), runtime, tmp_path, precision="int8", pretend=cut("2:4", 0.5))
    assert gates["zeros kept"].passed
    assert not gates["zeros in place"].passed
    assert not gates["parity"].passed


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_weights_that_should_be_gone_are_seen(runtime: str, tmp_path: Path) -> None:
    gates = judge(cut("2:4", 0.5), runtime, tmp_path, precision="int8", pretend=cut("channel", 0.4))
    assert not gates["weights shipped"].passed


def test_every_gate_holds_of_bf16(tmp_path: Path) -> None:
    engine = pytest.importorskip("openvino")
    if "BF16" not in engine.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    gates = judge(cut("2:4", 0.5), "openvino", tmp_path, precision="bf16")
    assert {name for name, gate in gates.items() if not gate.passed} == set()
    assert gates["parity"].value < 1 - 1e-6  # it was executed in bf16
