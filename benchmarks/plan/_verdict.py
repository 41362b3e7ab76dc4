"""The advice that follows from a plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from prunnet_export._numbers import percent
from prunnet_export.benchmarks.plan._plan import Plan
from prunnet_export.benchmarks.plan._prediction import FIGURES
from prunnet_export.preprocessing import Preprocessing, size_text

Kind = Literal["adapter", "train", "neither", "unknown"]
_RISING = 0.01  # the gain of the curve's last step from which more images are worth having


@dataclass(frozen=True)
class Verdict:
    """The advice.

    Attributes:
        kind: ``adapter``: a linear map is enough. ``train``: the prunable network is predicted to pass the gate at
            100 %. ``neither``: neither does. ``unknown``: the adapter is not enough, and nothing predicts the network.
        lines: The advice in sentences.
    """

    kind: Kind
    lines: tuple[str, ...]


def verdict(plan: Plan) -> Verdict:
    """The advice for the gate that the user will hold."""
    adapter, gate = plan.whole.over(plan.divisor), plan.gate
    name = FIGURES[plan.figure] + (", as a share of the teacher's own" if plan.figure == "recall" else "")
    found = (
        f"the linear map reaches {adapter.value:.1%} ({adapter.low:.1%} to {adapter.high:.1%}); "
        f"the gate is {gate:.1%} ({name})"
    )
    doubt: tuple[str, ...] = ()
    if adapter.low < gate <= adapter.high:
        doubt = ("the interval of the linear map includes the gate, so a larger --images may change this advice",)
    if adapter.value >= gate:
        lines = ("verdict: an adapter is enough", found, *doubt)
        return Verdict("adapter", (*lines, "a prunable network is still smaller and faster, at the capacities above"))
    if plan.trials_too_short:
        doubt = (*doubt, "the trials are too short to rely on the prediction: see --trial-minutes")
    if plan.model is None:
        lines = ("verdict: an adapter is not enough", found, "too few measured runs with this figure: see --runs")
        return Verdict("unknown", (*lines, *doubt))
    smallest = _smallest_that_passes(plan)
    if smallest is not None:
        lines = (f"verdict: train; {percent(smallest)} is the smallest capacity that is predicted to pass", found)
        return Verdict("train", (*lines, *doubt))
    return Verdict("neither", ("verdict: neither reaches the gate", found, *doubt, *_what_helps(plan)))


def _smallest_that_passes(plan: Plan) -> float | None:
    """The smallest capacity that is predicted to pass, as all larger ones are; None if 100 % is not."""
    smallest = None
    for capacity, one in sorted(plan.predictions().items(), reverse=True):
        if one.value < plan.gate:
            break
        smallest = capacity
    return smallest


def _what_helps(plan: Plan) -> tuple[str, ...]:
    """What would bring the student nearer to the teacher, as far as the plan can tell."""
    lines = []
    if plan.options.weights is None:
        lines.append("weights that exist would help: --weights FILE")
    preprocessing: Preprocessing = plan.sample.recipe.preprocessing
    seen, given = plan.source.size, preprocessing.size
    if seen is not None and math.prod(given) < math.prod(seen):
        lines.append(f"a larger image would help: the teacher sees {size_text(seen)} px, not {size_text(given)}")
    if len(plan.curve) > 1:
        gain = float((plan.curve[-1].scores.main.mean() - plan.curve[-2].scores.main.mean()) / plan.divisor)
        if gain >= _RISING:
            lines.append(f"more images would help: the last doubling or so brought {gain:.1%}")
    lines.append(f"more steps may help: the plan is for {plan.sample.steps}")
    return tuple(lines)
