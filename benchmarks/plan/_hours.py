"""What the planned training would cost on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from prunnet_export.benchmarks.plan._plan import Plan
from prunnet_export.benchmarks.plan._teacher import Speed

_HOUR = 3600  # seconds


@dataclass(frozen=True)
class Hours:
    """The cost of a training.

    Attributes:
        seconds_per_step: Median of the steps of both trials.
        n_steps: Number of steps that were timed.
        steps: Steps of the training.
        training_h: Hours of the training.
        speed: How fast the teacher embeds; None if its vectors exist.
        vectors: Number of vectors that the teacher has to compute.
        vectors_h: Hours for them, in one process.
    """

    seconds_per_step: float
    n_steps: int
    steps: int
    training_h: float
    speed: Speed | None
    vectors: int
    vectors_h: float


def hours(plan: Plan) -> Hours:
    """The hours of the training, and of the teacher's vectors of all images and their views."""
    vectors = 0 if plan.speed is None else plan.sample.known * max(1, plan.options.match.views)
    return Hours(
        seconds_per_step=plan.trials.seconds_per_step,
        n_steps=plan.trials.shorter.steps + plan.trials.longer.steps,
        steps=plan.sample.steps,
        training_h=plan.trials.seconds_per_step * plan.sample.steps / _HOUR,
        speed=plan.speed,
        vectors=vectors,
        vectors_h=0.0 if plan.speed is None else vectors / plan.speed.per_second / _HOUR,
    )
