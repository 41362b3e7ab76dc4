"""Two runs of one artifact differ by noise, and a slowdown of 10 % is found: on samples that were recorded.

``recorded_runs.npz`` holds latencies of the anchor and of two channel cuts of a ResNet-18 at 112 pixels, small and mid,
with 15 and 50 % of the weights: microseconds, uint16 [session, turn, inference]. 65535 stands for longer ones too.

Each session is what ``prunnet-bench latency --results`` measures: 12 turns, in each of which every model runs in a
process of its own for 60 inferences, by ONNX Runtime with one thread. They were recorded on a virtual machine with two
cores (AMD EPYC). Other programs kept both cores busy all the time: the load was 8 to 12. In the sessions ``quiet`` the
measuring processes had priority over them (autogroup nice -15); in the sessions ``busy`` they had not.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export.benchmarks._diff_latency import Timing, compare_latency
from prunnet_export.benchmarks._remeasure import RUNS, SAMPLES

FILE = Path(__file__).with_name("recorded_runs.npz")
DRAWS = 200


@cache
def recorded(phase: str, model: str) -> npt.NDArray[np.float64]:
    """Milliseconds [session, turn, inference]."""
    with np.load(FILE, allow_pickle=False) as arrays:
        return np.asarray(arrays[f"{phase}_{model}"], np.float64) / 1000


def timing(phase: str, model: str, session: int, turns: list[int], *, factor: float = 1.0) -> Timing:
    """Some turns of a session; the artifact takes ``factor`` times as long as it did."""
    samples, anchor = recorded(phase, model)[session][turns], recorded(phase, "anchor")[session][turns]
    return Timing((factor * samples).tolist(), anchor.tolist())


def verdicts(phase: str, model: str, factor: float) -> Counter[str]:
    """Verdicts on sessions that were made at different times, with turns that are drawn with replacement."""
    draw = np.random.default_rng(0)
    pairs = list(permutations(range(len(recorded(phase, model))), 2))
    found: Counter[str] = Counter()
    for _ in range(DRAWS):
        old, new = pairs[draw.integers(len(pairs))]
        turns = draw.integers(RUNS, size=(2, RUNS)).tolist()
        before = timing(phase, model, old, turns[0])
        after = timing(phase, model, new, turns[1], factor=factor)
        found[compare_latency(before, after, at=90, threshold=0.05).verdict] += 1
    return found


def test_the_recording_has_the_shape_of_a_run() -> None:
    for phase in ("quiet", "busy"):
        for model in ("anchor", "small", "mid"):
            sessions, turns, inferences = recorded(phase, model).shape
            assert sessions >= 6
            assert (turns, inferences) == (RUNS, SAMPLES)


@pytest.mark.parametrize(("phase", "model"), [("quiet", "small"), ("quiet", "mid"), ("busy", "small")])
def test_noise_is_no_regression_and_ten_per_cent_are_found(phase: str, model: str) -> None:
    assert verdicts(phase, model, 1.0)["slower"] <= 0.05 * DRAWS
    assert verdicts(phase, model, 1.1)["slower"] >= 0.95 * DRAWS


def test_a_long_artifact_on_a_busy_machine_is_not_judged() -> None:
    assert verdicts("busy", "mid", 1.0)["slower"] <= 0.05 * DRAWS


@pytest.mark.parametrize("model", ["small", "mid"])
@pytest.mark.parametrize(("old", "new"), [("quiet", "busy"), ("busy", "quiet")])
def test_a_machine_that_changed_is_no_regression(old: str, new: str, model: str) -> None:
    every = list(range(RUNS))
    found = Counter(
        compare_latency(timing(old, model, a, every), timing(new, model, b, every), at=90, threshold=0.05).verdict
        for a in range(len(recorded(old, model)))
        for b in range(len(recorded(new, model)))
    )
    assert found["slower"] <= 0.05 * found.total()
