"""A bound that is wide because one run was disturbed gets a second, longer look; a slow model does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.budget import Budget
from prunnet_export.evaluating import measure_for_budget
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.runtimes import Model
from tests.search._exports import TableDevice

STEPS = Preprocessing(crop=32, resize=32)


@pytest.mark.parametrize(
    ("disturbed", "usual", "runs", "inside"), [(9.0, 1.0, 3 + 9, True), (1.0, 1.0, 3, True), (9.0, 9.0, 3, False)]
)
def test_a_disturbed_run(disturbed: float, usual: float, runs: int, inside: bool, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"m")
    device = TableDevice(lambda _size, _request: disturbed if len(device.asked) == 1 else usual)
    budget = Budget(latency_ms=2)
    model = Model(tmp_path / "m.onnx", "onnxruntime")
    latency = measure_for_budget(device, model, budget, STEPS, threads=1, runs=3).latency
    assert len(device.asked) == runs
    assert (latency.upper_ms <= 2) == inside
