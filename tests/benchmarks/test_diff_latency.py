"""What is concluded from samples: by hand-made ones here, by recorded ones in test_diff_recorded.py."""

from __future__ import annotations

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks._diff_latency import LatencyDiff, Timing, Verdict, compare_latency
from tests.benchmarks._runs import samples


def compare(
    old: Timing, new: Timing, *, at: float = 90, threshold: float = 0.05, in_turns: bool = False
) -> LatencyDiff:
    return compare_latency(old, new, at=at, threshold=threshold, in_turns=in_turns)


def beside(ms: float, anchor_ms: float = 1.0, *, disturbed: float = 0.0) -> Timing:
    """An artifact and an anchor, both disturbed."""
    return Timing(samples(ms, disturbed=disturbed), samples(anchor_ms, disturbed=disturbed))


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "same"), (1.04, "same"), (1.1, "slower"), (1 / 1.1, "faster"), (3.0, "slower")]
)
@pytest.mark.parametrize("in_turns", [False, True])
def test_a_quiet_machine(factor: float, verdict: Verdict, in_turns: bool) -> None:
    found = compare(beside(5), beside(5 * factor), in_turns=in_turns)
    assert (found.verdict, found.reason) == (verdict, "")
    assert [change.percentile for change in found.changes] == [5, 50, 90]
    for change in found.changes:
        assert change.ratio.value == pytest.approx(factor, rel=0.001)
        assert change.ratio.low <= change.ratio.value <= change.ratio.high


def test_a_slower_machine_is_no_slower_artifact() -> None:
    found = compare(beside(5, 1.0), beside(7, 1.4))
    assert found.verdict == "same"
    assert found.anchor == pytest.approx(1.4)
    without = compare(Timing(samples(5)), Timing(samples(7)))
    assert (without.verdict, without.anchor) == ("slower", None)


def test_the_threshold() -> None:
    assert compare(beside(5), beside(5.4), threshold=0.1).verdict == "same"
    assert compare(beside(5), beside(5.1), threshold=0.01).verdict == "slower"


def test_a_noisy_difference_is_no_regression() -> None:
    old = Timing(samples(5, spread=1.0), samples(1))
    new = Timing(samples(5.5, spread=1.0), samples(1))
    [fastest, *_] = compare(old, new).changes
    assert fastest.ratio.value > 1.05
    assert fastest.ratio.low < 1
    assert fastest.verdict == "same"


def test_slower_percentiles_have_to_change_by_twice_the_threshold() -> None:
    def tail(factor: float) -> Timing:
        return Timing(samples(5, disturbed=0.6, slow=factor), samples(1))

    assert compare(beside(5), tail(1.08)).verdict == "same"
    found = compare(beside(5), tail(1.15))
    assert [change.verdict for change in found.changes] == ["same", "slower", "slower"]
    assert found.verdict == "slower"


def test_a_busy_machine_is_judged_by_the_fastest_inferences() -> None:
    found = compare(beside(2, disturbed=0.4), beside(2.2, disturbed=0.4))
    assert found.verdict == "slower"
    assert [(change.percentile, change.verdict) for change in found.changes] == [
        (5, "slower"),
        (50, "not judged"),
        (90, "not judged"),
    ]
    assert found.reason.endswith("about 64% of the inferences before and 67% now: only p5 can be judged")
    assert str(found).startswith("p5 1.100x")
    assert "p50" not in str(found)


def test_a_machine_that_became_busy_is_not_judged() -> None:
    found = compare(beside(2), beside(4, disturbed=0.4))
    assert found.verdict == "not judged"
    assert found.reason.endswith("about 0% of the inferences before and 87% now: measure again")
    assert compare(beside(2), beside(2.2, disturbed=0.4)).verdict == "not judged"
    assert compare(beside(2), beside(2.2, disturbed=0.4), in_turns=True).verdict == "slower"


def test_a_long_artifact_is_disturbed_more_often_than_the_anchor() -> None:
    assert Timing(samples(3), samples(1, disturbed=0.2)).disturbed() == pytest.approx(1 - 0.8**3)
    assert Timing(samples(3, disturbed=0.2)).disturbed() == pytest.approx(0.2)


def test_a_percentile_that_is_disturbed_is_left_out() -> None:
    found = compare(beside(2, disturbed=0.1), beside(2.2, disturbed=0.1))
    assert [change.verdict for change in found.changes] == ["slower", "same", "not judged"]
    assert found.reason.endswith("only p5 and p50 can be judged")


def test_the_median_can_be_the_percentile_of_the_budget() -> None:
    assert [change.percentile for change in compare(beside(5), beside(5), at=50).changes] == [5, 50]


@pytest.mark.parametrize(("in_turns", "runs"), [(False, 3), (True, 5)])
def test_too_few_runs(in_turns: bool, runs: int) -> None:
    few = Timing(samples(5, runs=runs))
    found = compare(few, few, in_turns=in_turns)
    assert (found.verdict, found.changes) == ("not judged", ())
    assert f"{runs} runs before and {runs} now are too few" in found.reason


def test_runs_that_cannot_be() -> None:
    with pytest.raises(InvalidInput, match="no samples"):
        compare(Timing([[]]), beside(5))
    with pytest.raises(InvalidInput, match="not positive"):
        compare(beside(5), Timing([[0.0]] * 12))
