"""The budget that the user allows, and the one rule that decides whether figures are inside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import msgspec

from prunnet_export._errors import InvalidInput, UsageError
from prunnet_export._numbers import significant
from prunnet_export.query import Query

Amount = Annotated[float, msgspec.Meta(gt=0)]
Percent = Annotated[float, msgspec.Meta(gt=0, lt=100)]


@dataclass(frozen=True)
class Limit:
    """One limit of a budget, and the figure that it limits.

    Attributes:
        name: ``latency``, ``size`` or ``memory``.
        option: The option that sets the limit.
        allowed: The limit.
        figure: The figure, which has to be at most ``allowed``.
        unit: Unit of ``allowed`` and ``figure``.
        label: Text that stands before the figure in a message.
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
        verdict = f"{'within' if self.inside else 'over'} the budget of {self.allowed:g} {self.unit}"
        return f"{self.name}: {self.label}{significant(self.figure)} {self.unit}, {verdict}"


@dataclass(frozen=True)
class Figures:
    """The figures that a budget limits.

    Attributes:
        upper_ms: Upper bound of the latency at the percentile, in milliseconds; None if it is not known, and then it is
            not checked.
        size_mb: Size of all model files, in 10^6 bytes.
        peak_mb: Peak memory in MiB; None if it is not known, and then it is not checked.
    """

    upper_ms: float | None
    size_mb: float
    peak_mb: float | None


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of an artifact; None means no limit.

    Attributes:
        latency_ms: Limit of the latency of one query: of the upper confidence bound of its percentile, in milliseconds.
        size_mb: Limit of the size of all model files, in 10^6 bytes.
        ram_mb: Limit of the peak resident memory above the engine alone, in MiB.
        percentile: The percentile that ``latency_ms`` limits, in per cent.
        query: What one query is, of which the latency is: the network alone or all from the photograph on, one image
            or a batch.

    Raises:
        UsageError: no limit is given.
        InvalidInput: a limit is not positive and finite.
    """

    latency_ms: Amount | None = None
    size_mb: Amount | None = None
    ram_mb: Amount | None = None
    percentile: Percent = 90.0
    query: Query = Query()

    def __post_init__(self) -> None:
        limits = {"--budget-ms": self.latency_ms, "--budget-mb": self.size_mb, "--budget-ram-mb": self.ram_mb}
        if all(limit is None for limit in limits.values()):
            raise UsageError("no budget is given", hint="add --budget-ms, --budget-mb or --budget-ram-mb")
        for option, limit in limits.items():
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise InvalidInput(f"{option} {limit:g} is out of range", hint="a budget is positive and finite")

    def limits(self, figures: Figures) -> list[Limit]:
        """Each limit that is given, with its figure. No other module compares figures with a budget."""
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

    def used(self, figures: Figures) -> float:
        """The share of the budget that these figures use: that of the limit that is nearest, or exceeded most."""
        return max((limit.figure / limit.allowed for limit in self.limits(figures)), default=0.0)

    def unclear(self, *, p50_ms: float, upper_ms: float) -> bool:
        """Whether the median is inside the latency limit and the upper bound is not.

        The bound is wide if something disturbed a run. Then a longer measurement is fairer than a verdict.
        """
        return self.latency_ms is not None and p50_ms <= self.latency_ms < upper_ms

    def exceeded(self, figures: Figures) -> list[str]:
        """One sentence for each limit that is exceeded."""
        return [str(limit) for limit in self.limits(figures) if not limit.inside]

    def options_that_fit(self, figures: Figures) -> str:
        """Options with larger limits that these figures would meet; empty if all limits hold."""
        limits = [limit for limit in self.limits(figures) if not limit.inside]
        return " ".join(f"{limit.option} {_round_up(limit.figure):g}" for limit in limits)

    def __str__(self) -> str:
        parts = []
        if self.latency_ms is not None:
            of = "" if self.query == Query() else f" ({self.query})"
            parts.append(f"p{self.percentile:g} <= {self.latency_ms:g} ms{of}")
        if self.size_mb is not None:
            parts.append(f"{self.size_mb:g} MB")
        if self.ram_mb is not None:
            parts.append(f"{self.ram_mb:g} MiB of memory")
        return ", ".join(parts)


def _round_up(value: float) -> float:
    """``value`` plus 2 %, rounded up to two significant digits."""
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return float(round(math.ceil(value * 1.02 / step) * step, 9))
