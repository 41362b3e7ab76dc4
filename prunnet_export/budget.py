"""What the user allows, and the one rule for what is inside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import msgspec

from prunnet_export._errors import InvalidInput, UsageError

Amount = Annotated[float, msgspec.Meta(gt=0)]
Percent = Annotated[float, msgspec.Meta(gt=0, lt=100)]


@dataclass(frozen=True)
class Limit:
    """One limit of a budget, and the figure that is held against it.

    Attributes:
        name: ``latency``, ``size`` or ``memory``.
        option: The option that sets the limit.
        allowed: The limit.
        figure: What has to be at most that.
        unit: Of both.
        label: What the figure is, in a sentence that goes on with its value.
    """

    name: str
    option: str
    allowed: float
    figure: float
    unit: str
    label: str = ""

    @property
    def inside(self) -> bool:
        """Whether the limit holds."""
        return self.figure <= self.allowed

    def __str__(self) -> str:
        over = "within" if self.inside else "over"
        return (
            f"{self.name}: {self.label}{self.figure:.3g} {self.unit}, {over} the budget of {self.allowed:g} {self.unit}"
        )


@dataclass(frozen=True)
class Figures:
    """What is held against a budget.

    Attributes:
        upper_ms: Upper bound of the latency at the percentile, in milliseconds.
        size_mb: All model files, in 10^6 bytes.
        peak_mb: Peak memory in MiB; None where it is not known, and then it is not held against the budget.
    """

    upper_ms: float
    size_mb: float
    peak_mb: float | None


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits that an artifact has to stay inside; None where nothing is asked.

    Attributes:
        latency_ms: Latency of one image, the upper confidence bound of its percentile, in milliseconds.
        size_mb: All model files, in 10^6 bytes.
        ram_mb: Peak resident memory above the engine alone, in MiB.
        percentile: The percentile that ``latency_ms`` is asked at, in per cent.

    Raises:
        UsageError: nothing is asked.
        InvalidInput: a limit is not positive and finite.
    """

    latency_ms: Amount | None = None
    size_mb: Amount | None = None
    ram_mb: Amount | None = None
    percentile: Percent = 90.0

    def __post_init__(self) -> None:
        limits = {"--budget-ms": self.latency_ms, "--budget-mb": self.size_mb, "--budget-ram-mb": self.ram_mb}
        if all(limit is None for limit in limits.values()):
            raise UsageError("no budget is given", hint="add --budget-ms, --budget-mb or --budget-ram-mb")
        for option, limit in limits.items():
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise InvalidInput(f"{option} {limit:g} is out of range", hint="a budget is positive and finite")

    def limits(self, figures: Figures) -> list[Limit]:
        """Each limit that is asked for, with its figure. This is the one place that says what is inside."""
        asked = (
            ("latency", "--budget-ms", self.latency_ms, figures.upper_ms, "ms", f"p{self.percentile:g} is up to "),
            ("size", "--budget-mb", self.size_mb, figures.size_mb, "MB", ""),
            ("memory", "--budget-ram-mb", self.ram_mb, figures.peak_mb, "MiB", ""),
        )
        return [
            Limit(name, option, allowed, figure, unit, label)
            for name, option, allowed, figure, unit, label in asked
            if allowed is not None and figure is not None
        ]

    def inside(self, figures: Figures) -> bool:
        """Whether all limits hold."""
        return all(limit.inside for limit in self.limits(figures))

    def exceeded(self, figures: Figures) -> list[str]:
        """One sentence for each limit that does not hold."""
        return [str(limit) for limit in self.limits(figures) if not limit.inside]

    def options_that_fit(self, figures: Figures) -> str:
        """The options that would let these figures in; empty where all limits hold."""
        limits = [limit for limit in self.limits(figures) if not limit.inside]
        return " ".join(f"{limit.option} {_round_up(limit.figure):g}" for limit in limits)

    def __str__(self) -> str:
        parts = []
        if self.latency_ms is not None:
            parts.append(f"p{self.percentile:g} <= {self.latency_ms:g} ms")
        if self.size_mb is not None:
            parts.append(f"{self.size_mb:g} MB")
        if self.ram_mb is not None:
            parts.append(f"{self.ram_mb:g} MiB of memory")
        return ", ".join(parts)


def _round_up(value: float) -> float:
    """A little more than ``value``, to two significant digits."""
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return float(round(math.ceil(value * 1.02 / step) * step, 9))
