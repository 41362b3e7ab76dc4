"""The latency of one model, to be held against a budget."""

from __future__ import annotations

from dataclasses import dataclass

from prunnet_export.budget import Budget
from prunnet_export.devices import Device, ModelTimes, Timed, measure_samples
from prunnet_export.measuring import LatencyReport
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.runtimes import Model

_MORE_RUNS = 9


@dataclass(frozen=True)
class BudgetLatency:
    """The latency of a model at the percentile of a budget.

    Attributes:
        latency: The report.
        times: The samples behind it.
        anchor: The samples of the anchor, which was measured in turns with the model; None if there was none.
    """

    latency: LatencyReport
    times: ModelTimes
    anchor: ModelTimes | None


def measure_for_budget(
    device: Device,
    model: Model,
    budget: Budget,
    preprocessing: Preprocessing,
    *,
    threads: int | None,
    runs: int,
    samples: int = 200,
    anchor: Model | None = None,
) -> BudgetLatency:
    """The latency at the budget's percentile. It is measured again, in more runs, if the first answer is unclear.

    Args:
        device: The device to measure on.
        model: The model.
        budget: The budget, which says what one query is.
        preprocessing: How a photograph becomes an input.
        threads: Intra-operator threads; None leaves the number to the engine.
        runs: Fresh processes of the first measurement.
        samples: Timed inferences of each run.
        anchor: A model to measure in turns with the model, alone and with one image, whatever the query is; None if
            there is none.

    Raises:
        PrunnetError: the device does not answer, or the engine refuses the model.
    """
    models = [model] if anchor is None else [model, anchor]
    timed = [Timed(budget.query, preprocessing), Timed()][: len(models)]

    def measure(count: int) -> BudgetLatency:
        times, *others = measure_samples(
            device, models, threads=threads, runs=count, samples=samples, percentile=budget.percentile, timed=timed
        )
        return BudgetLatency(times.report(budget.percentile), times, others[0] if others else None)

    found = measure(runs)
    latency = found.latency
    unclear = latency.source == "measured" and budget.unclear(p50_ms=latency.p50_ms, upper_ms=latency.upper_ms)
    return measure(_MORE_RUNS) if unclear and runs < _MORE_RUNS else found
