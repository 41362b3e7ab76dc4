"""Imports are light: no torch, no runtime, and for the package itself no numpy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import prunnet_export

HEAVY = (
    "torch",
    "timm",
    "onnx",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tensorrt_rtx",
    "cuda",
    "MNN",
    "flatbuffers",
    "coremltools",
    "nncf",
    "matplotlib",
    "pyarrow",
    "faiss",
    "pymilvus",
    "qdrant_client",
)


def imported_by(statement: str) -> set[str]:
    source = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True, text=True)
    return set(json.loads(done.stdout))


def test_the_package_alone_imports_next_to_nothing() -> None:
    modules = imported_by("import prunnet_export; prunnet_export.PrunnetError, dir(prunnet_export)")
    assert not modules & {*HEAVY, "numpy", "PIL", "msgspec", "rich", "click"}


@pytest.mark.parametrize(
    "statement",
    [
        "import prunnet_export; prunnet_export.load, prunnet_export.__version__",
        "import prunnet_export.runtimes.onnxruntime, prunnet_export.runtimes.openvino",
        "import prunnet_export.runtimes.tensorrt, prunnet_export.runtimes.mnn, prunnet_export.runtimes.litert",
        "import prunnet_export.runtimes.coreml, prunnet_export.runtimes.ethos_u",
        "import prunnet_export.finishing, prunnet_export.evaluating, prunnet_export.benchmarks._check",
        "import prunnet_export.building, prunnet_export.benchmarks._diff",
        "import prunnet_export.devices, prunnet_export.devices._worker",
        "import prunnet_export.measuring, prunnet_export.artifact, prunnet_export.network_config",
        "import prunnet_export.budget, prunnet_export.precision, prunnet_export.thresholds, prunnet_export.target",
        "import prunnet_export.teachers, prunnet_export.views",
        "import prunnet_export.cli._command, prunnet_export.benchmarks.cli, prunnet_export.training.cli",
    ],
)
def test_what_a_device_needs_imports_no_runtime_and_no_torch(statement: str) -> None:
    assert not imported_by(statement) & set(HEAVY)


def test_a_recipe_is_a_plain_value() -> None:
    statement = (
        "from prunnet_export.training import Recipe; from prunnet_export.network_config import DataSource;"
        " from prunnet_export.preprocessing import Preprocessing;"
        " Recipe(data=DataSource(source='any'), preprocessing=Preprocessing(crop=8, resize=8)).micro_batch"
    )
    assert not imported_by(statement) & {*HEAVY, "numpy", "PIL", "torch_pruning"}


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(prunnet_export.__all__) == prunnet_export.__all__
    for name in prunnet_export.__all__:
        assert getattr(prunnet_export, name).__doc__, name
    assert set(prunnet_export.__all__) <= set(dir(prunnet_export))


def test_version_is_the_installed_one() -> None:
    assert prunnet_export.__version__[0].isdigit()


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="lode"):
        _ = prunnet_export.lode  # type: ignore[attr-defined]  # the point of the test
