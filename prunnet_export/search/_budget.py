"""What the user allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prunnet_export._errors import InvalidInput, UsageError


@dataclass(frozen=True)
class Budget:
    """Limits that an artifact has to stay inside; None where nothing is asked.

    Attributes:
        latency_ms: Of one image, at the percentile, its upper confidence bound.
        size_mb: All model files, in 10^6 bytes.
        ram_mb: Peak resident memory above the engine alone, in MiB.
        percentile: The one that ``latency_ms`` is asked at, in per cent.

    Raises:
        UsageError: nothing is asked.
        InvalidInput: a limit is not positive and finite.
    """

    latency_ms: float | None = None
    size_mb: float | None = None
    ram_mb: float | None = None
    percentile: float = 90.0

    def __post_init__(self) -> None:
        limits = {"--budget-ms": self.latency_ms, "--budget-mb": self.size_mb, "--budget-ram-mb": self.ram_mb}
        if all(limit is None for limit in limits.values()):
            raise UsageError("no budget is given", hint="add --budget-ms, --budget-mb or --budget-ram-mb")
        for option, limit in limits.items():
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise InvalidInput(f"{option} {limit:g} is out of range", hint="a budget is positive and finite")

    def exceeded(self, *, upper_ms: float, size_mb: float, peak_mb: float | None) -> list[str]:
        """What is over the budget, one sentence each.

        Args:
            upper_ms: Upper bound of the latency at the percentile.
            size_mb: All model files, in 10^6 bytes.
            peak_mb: Peak memory, MiB; None where it is not known.
        """
        reasons = []
        if self.latency_ms is not None and upper_ms > self.latency_ms:
            upper = f"{upper_ms:.3g} ms, over the budget of {self.latency_ms:g} ms"
            reasons.append(f"latency: p{self.percentile:g} is up to {upper}")
        if self.size_mb is not None and size_mb > self.size_mb:
            reasons.append(f"size: {size_mb:.3g} MB, over the budget of {self.size_mb:g} MB")
        if self.ram_mb is not None and peak_mb is not None and peak_mb > self.ram_mb:
            reasons.append(f"memory: {peak_mb:.3g} MiB, over the budget of {self.ram_mb:g} MiB")
        return reasons

    def that_fits(self, *, upper_ms: float, size_mb: float, peak_mb: float | None) -> str:
        """The options to give in the place of those that do not hold; empty where all do. Figures as above."""
        asked = (
            ("--budget-ms", self.latency_ms, upper_ms),
            ("--budget-mb", self.size_mb, size_mb),
            ("--budget-ram-mb", self.ram_mb, peak_mb),
        )
        return " ".join(
            f"{option} {_round_up(needed):g}"
            for option, limit, needed in asked
            if limit is not None and needed is not None and needed > limit
        )

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
