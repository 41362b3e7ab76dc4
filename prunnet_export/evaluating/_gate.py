"""One gate: a value and the least value that is accepted."""

from __future__ import annotations

from prunnet_export.artifact import Gate


def at_least(
    name: str,
    value: float,
    threshold: float | None,
    *,
    n: int,
    note: str,
    interval: tuple[float, float] | None = None,
) -> Gate:
    """A gate that passes if the value is at least the threshold, or if the threshold is None.

    If the value has an interval, its lower end has to be at least the threshold.
    """
    lowest = value if interval is None else interval[0]
    return Gate(
        name=name,
        value=value,
        threshold=threshold,
        comparison=None if threshold is None else ">=",
        passed=threshold is None or lowest >= threshold,
        n=n,
        interval=interval,
        note=note,
    )
