"""The latency of one model, to be held against a budget."""

from __future__ import annotations

from prunnet_export.budget import Budget
from prunnet_export.devices import Device, measure_latency
from prunnet_export.measuring import LatencyReport
from prunnet_export.runtimes import Model

_MORE_RUNS = 9


def measure_for_budget(
    device: Device, model: Model, budget: Budget, *, threads: int | None, runs: int, samples: int = 200
) -> LatencyReport:
    """The latency at the budget's percentile. It is measured again, in more runs, if the first answer is unclear.

    Args:
        device: The device to measure on.
        model: The model.
        budget: The budget.
        threads: Intra-operator threads; None leaves the number to the engine.
        runs: Fresh processes of the first measurement.
        samples: Timed inferences of each run.

    Raises:
        PrunnetError: the device does not answer, or the engine refuses the model.
    """

    def measure(count: int) -> LatencyReport:
        [latency] = measure_latency(
            device, [model], threads=threads, runs=count, samples=samples, percentile=budget.percentile
        )
        return latency

    latency = measure(runs)
    unclear = budget.unclear(p50_ms=latency.p50_ms, upper_ms=latency.upper_ms)
    return measure(_MORE_RUNS) if unclear else latency
