"""Figures of several seeds, summarised for the tables of methods."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any


def summary(figures: Sequence[object], names: Sequence[str]) -> dict[str, Any] | None:
    """Mean, standard deviation and values of each named attribute; None if there is no figure."""
    if not figures:
        return None
    by_name = {name: [getattr(one, name) for one in figures] for name in names}
    return {
        name: {"mean": statistics.fmean(values), "spread": spread(values), "values": values}
        for name, values in by_name.items()
    }


def mean_and_spread(values: Sequence[float]) -> str:
    """``mean ± standard deviation`` of shares, in %; one value has no deviation."""
    shares = [100 * value for value in values]
    deviation = spread(shares)
    return f"{statistics.fmean(shares):.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def spread(values: Sequence[float]) -> float | None:
    """The sample standard deviation; None of one value."""
    return statistics.stdev(values) if len(values) > 1 else None
