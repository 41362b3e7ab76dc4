"""The advice follows from the figures and the gate."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prunnet_export.benchmarks.plan._bootstrap import Estimate
from prunnet_export.benchmarks.plan._prediction import Prediction
from prunnet_export.benchmarks.plan._verdict import verdict

DENSE_PASSES = {1.0: 0.97, 0.6: 0.96, 0.4: 0.9, 0.2: 0.96}


def plan(whole: Estimate, shares: dict[float, float] | None, **changed: Any) -> Any:
    """What a verdict looks at: the share of the linear map, and the predicted shares."""
    predictions = {
        capacity: Prediction(share, share - 0.05, min(1, share + 0.05), widened=False)
        for capacity, share in (shares or {}).items()
    }
    rising = [SimpleNamespace(scores=SimpleNamespace(main=np.array([value]))) for value in (0.5, 0.6)]
    recipe = SimpleNamespace(preprocessing=SimpleNamespace(size=(64, 64)))
    fields = {
        "whole": whole,
        "divisor": 1.0,
        "gate": 0.95,
        "figure": "recall",
        "model": None if shares is None else object(),
        "predictions": lambda: predictions,
        "trials_too_short": False,
        "options": SimpleNamespace(weights=None),
        "source": SimpleNamespace(size=(224, 224)),
        "sample": SimpleNamespace(recipe=recipe, steps=100),
        "curve": rising,
    }
    return SimpleNamespace(**{**fields, **changed})


@pytest.mark.parametrize(
    ("whole", "shares", "kind"),
    [
        (Estimate(0.96, 0.955, 0.97), DENSE_PASSES, "adapter"),
        (Estimate(0.8, 0.78, 0.82), DENSE_PASSES, "train"),
        (Estimate(0.8, 0.78, 0.82), {1.0: 0.9, 0.6: 0.8}, "neither"),
        (Estimate(0.8, 0.78, 0.82), None, "unknown"),
    ],
)
def test_kinds(whole: Estimate, shares: dict[float, float] | None, kind: str) -> None:
    assert verdict(plan(whole, shares)).kind == kind


def test_the_smallest_capacity_is_one_above_which_all_pass() -> None:
    first = verdict(plan(Estimate(0.8, 0.78, 0.82), DENSE_PASSES)).lines[0]
    assert "60%" in first


@pytest.mark.parametrize(("low", "high", "unclear"), [(0.9, 0.97, True), (0.9, 0.94, False), (0.955, 0.97, False)])
def test_an_interval_around_the_gate_is_said(low: float, high: float, unclear: bool) -> None:
    lines = verdict(plan(Estimate((low + high) / 2, low, high), DENSE_PASSES)).lines
    assert any("includes the gate" in line for line in lines) == unclear


@pytest.mark.parametrize("short", [True, False])
def test_a_prediction_from_trials_that_are_too_short_is_doubted(short: bool) -> None:
    found = verdict(plan(Estimate(0.8, 0.78, 0.82), DENSE_PASSES, trials_too_short=short))
    assert found.kind == "train"
    assert any("--trial-minutes" in line for line in found.lines) == short


def test_what_helps_is_what_is_missing() -> None:
    whole, low = Estimate(0.5, 0.45, 0.55), {1.0: 0.6}
    text = "\n".join(verdict(plan(whole, low)).lines)
    assert all(word in text for word in ("--weights", "224 px", "more images", "more steps"))
    complete = plan(whole, low, options=SimpleNamespace(weights="w.pth"), source=SimpleNamespace(size=None), curve=[])
    text = "\n".join(verdict(complete).lines)
    assert not any(word in text for word in ("--weights", "px", "more images"))
