"""Whether an artifact became slower: ratios of latencies, beside those of an anchor, and what can be concluded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from prunnet_export.benchmarks._results import Samples
from prunnet_export.measuring import Ratio, percentile, ratio_of_groups, ratio_of_pairs

Verdict = Literal["slower", "faster", "same", "not judged"]

FASTEST, MEDIAN = 5.0, 50.0
# The figures behind these constants are in docs/regressions.md.
_DISTURBED = 1.5  # an inference is disturbed if it takes so many times as long as the fastest ones of its run
_FASTEST_UNTIL = 0.75  # share of disturbed inferences up to which the fastest ones are not disturbed themselves
_ALIKE = 0.25  # shares that differ by more are of conditions that are too different to compare
_OTHERS = 2.0  # slower percentiles are noisier, so they have to change by this multiple of the threshold


@dataclass(frozen=True)
class Timing:
    """The samples of an artifact, and those of an anchor that was measured in turns with it, if there was one."""

    samples: Samples
    anchor: Samples | None = None

    def values(self, q: float) -> list[float]:
        """The percentile ``q`` of each run: relative to the anchor's if there is one, else in milliseconds."""
        own = [percentile(run, q) for run in self.samples]
        if self.anchor is None:
            return own
        return [value / percentile(run, q) for value, run in zip(own, self.anchor, strict=True)]

    def milliseconds(self, q: float) -> float:
        """The percentile ``q`` of all samples."""
        return _pooled(self.samples, q)

    def disturbed(self) -> float:
        """The share of the artifact's inferences that other work on the machine is expected to disturb.

        An artifact that takes k times as long as the anchor is disturbed as often as k inferences of the anchor.
        Without an anchor, this is the share of slow inferences of the artifact itself.
        """
        if self.anchor is None:
            return _slow(self.samples)
        times_as_long = _pooled(self.samples, FASTEST) / _pooled(self.anchor, FASTEST)
        return 1 - math.pow(1 - _slow(self.anchor), times_as_long)


@dataclass(frozen=True)
class Change:
    """The change of one percentile.

    Attributes:
        percentile: The percentile, in per cent.
        old_ms: Its value before, milliseconds.
        new_ms: Its value now, milliseconds.
        ratio: New to old, each relative to its anchor if there is one.
        verdict: What follows from it; ``not judged`` if nothing can be concluded.
    """

    percentile: float
    old_ms: float
    new_ms: float
    ratio: Ratio
    verdict: Verdict

    def __str__(self) -> str:
        ratio = self.ratio
        return f"p{self.percentile:g} {ratio.value:.3f}x (95% {ratio.low:.3f} to {ratio.high:.3f})"


@dataclass(frozen=True)
class LatencyDiff:
    """The change of a latency.

    Attributes:
        verdict: What follows from all percentiles.
        reason: Why nothing or not everything is judged; may be empty.
        changes: The change of each percentile; empty if there are too few runs.
        anchor: The anchor's median now to that before; None if there is no anchor.
        disturbed: The expected share of disturbed inferences before and now; None if there are too few runs.
    """

    verdict: Verdict
    reason: str = ""
    changes: tuple[Change, ...] = ()
    anchor: float | None = None
    disturbed: tuple[float, float] | None = None

    def __str__(self) -> str:
        judged = [change for change in self.changes if change.verdict != "not judged"]
        return ", ".join(map(str, judged or self.changes))


def compare_latency(old: Timing, new: Timing, *, at: float, threshold: float, in_turns: bool = False) -> LatencyDiff:
    """Compare the latencies of an artifact before and now.

    Three percentiles are compared: the 5th, which is of the fastest inferences and tells best what the artifact costs,
    the median, and that of the budget. A percentile is slower if its ratio is above the threshold, or twice the
    threshold for the last two, and the 95 % interval of the ratio is above 1.

    A percentile is judged only if other work on the machine does not change it much. The 5th: if many inferences are
    undisturbed, and nearly as many on both sides. The others: if fewer inferences are disturbed than half of those that
    are slower than the percentile.

    Args:
        old: The samples before.
        new: The samples now.
        at: The percentile of the budget, in per cent.
        threshold: The smallest change that counts, e.g. 0.05 for 5 %.
        in_turns: Whether the runs of both sides were made in turns.

    Raises:
        InvalidInput: a run has no samples, or a sample is not positive and finite.
    """
    before, after = old.disturbed(), new.disturbed()
    worst = max(before, after)
    judged = {q for q in (MEDIAN, at) if worst <= (1 - q / 100) / 2}
    if worst <= _FASTEST_UNTIL and (in_turns or abs(after - before) <= _ALIKE):
        judged.add(FASTEST)
    changes = []
    for q in sorted({FASTEST, MEDIAN, at}):
        ratio = (ratio_of_pairs if in_turns else ratio_of_groups)(old.values(q), new.values(q))
        if ratio is None:
            return LatencyDiff("not judged", f"{len(old.samples)} runs before and {len(new.samples)} now are too few")
        limit = threshold * (1 if q == FASTEST else _OTHERS)
        verdict = _verdict(ratio, limit) if q in judged else "not judged"
        changes.append(Change(q, old.milliseconds(q), new.milliseconds(q), ratio, verdict))
    reason = ""
    if len(judged) < len(changes):
        advice = f"only {' and '.join(f'p{q:g}' for q in sorted(judged))} can be judged" if judged else "measure again"
        reason = (
            f"other work on the machine disturbed about {before:.0%} of the inferences before and {after:.0%} now: "
            f"{advice}"
        )
    verdicts = {change.verdict for change in changes}
    order: tuple[Verdict, ...] = ("slower", "faster", "same", "not judged")
    return LatencyDiff(
        verdict=next(one for one in order if one in verdicts),
        reason=reason,
        changes=tuple(changes),
        anchor=None if old.anchor is None or new.anchor is None else _pooled(new.anchor) / _pooled(old.anchor),
        disturbed=(before, after),
    )


def _verdict(ratio: Ratio, threshold: float) -> Verdict:
    if ratio.value > 1 + threshold and ratio.low > 1:
        return "slower"
    if ratio.value < 1 / (1 + threshold) and ratio.high < 1:
        return "faster"
    return "same"


def _slow(samples: Samples) -> float:
    """The share of inferences that take much longer than the fastest ones of their run."""
    limits = [_DISTURBED * percentile(run, FASTEST) for run in samples]
    slow = [sample > limit for run, limit in zip(samples, limits, strict=True) for sample in run]
    return sum(slow) / len(slow)


def _pooled(samples: Samples, q: float = MEDIAN) -> float:
    return percentile([sample for run in samples for sample in run], q)
