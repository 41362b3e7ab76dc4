from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prunnet_export.runtimes.openvino._telemetry import no_telemetry


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "maybe")
    monkeypatch.delenv("NNCF_CI", raising=False)
    with no_telemetry():
        assert os.environ["CI"] == "true"
        assert os.environ["NNCF_CI"]
    assert os.environ["CI"] == "maybe"
    assert "NNCF_CI" not in os.environ


def test_using_the_engine_and_its_quantiser_tells_nobody(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    source = """
from prunnet_export.runtimes import find_runtime
find_runtime("openvino").version()
from prunnet_export.runtimes.openvino._telemetry import no_telemetry
with no_telemetry():
    from nncf.telemetry import telemetry
    from openvino_telemetry import Telemetry
print(Telemetry().consent, type(telemetry).__name__)
"""
    # In a process of its own: under pytest nncf is silent anyway.
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "NNCF_CI", "NNCF_DEV"}}
    environment["HOME"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["False", "MagicMock"]
    assert not (tmp_path / "intel").exists()
