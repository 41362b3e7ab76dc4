"""The cost of a training step, as a multiple of plain forward/backward passes."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import torch
from msgspec.structs import replace

from prunnet_export._imports import installed_versions
from prunnet_export.benchmarks._training_cost_memory import STEPS, Memory, Request, peak_memory
from prunnet_export.benchmarks._training_cost_steps import PlainPasses, RecipeStep
from prunnet_export.devices import fingerprint
from prunnet_export.measuring import UNSTEADY, coefficient_of_variation, percentile
from prunnet_export.network import limit_torch_threads
from prunnet_export.preprocessing import size_text
from prunnet_export.reports import Report, Table, print_report
from prunnet_export.training import Recipe, keep_freed_memory

_log = logging.getLogger(__name__)
PATTERNS = ("unstructured", "channel")


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The time of a step with one pattern.

    Attributes:
        ratio: ``ours_ms`` over ``plain_ms``.
        ours_ms: Median of a whole step.
        ours_cv: Coefficient of variation of the step's time.
        plain_passes: Number of plain passes to compare with: N + 1; for ``channel`` as many as multiply as often.
        plain_ms: Median of N + 1 plain passes in a row, times ``plain_passes`` / (N + 1).
        plain_cv: Coefficient of variation of the plain passes' time.
        n: Number of samples of each; both are measured in turns.
        percentile: Percentile of both times.
    """

    ratio: float
    ours_ms: float
    ours_cv: float
    plain_passes: float
    plain_ms: float
    plain_cv: float
    n: int
    percentile: int = 50


@dataclass(frozen=True, kw_only=True)
class TrainingCostOptions:
    """The options of ``training-cost``, as its help describes them."""

    recipe: Recipe
    repeats: int
    threads: int | None
    output_format: str


def training_cost_table(options: TrainingCostOptions) -> int:
    """Measure and print the cost of a training step, in time and memory."""
    fingerprint().require_real()
    recipe, threads = options.recipe, options.threads
    if threads is not None:
        torch.set_num_threads(threads)
    else:
        limit_torch_threads()
    keep_freed_memory()  # prunnet-train does this too; it applies to the plain passes as well
    costs = measure_time(recipe, repeats=options.repeats)
    if max(max(cost.ours_cv, cost.plain_cv) for cost in costs.values()) > UNSTEADY:
        _log.warning(
            "the coefficient of variation of some times is over 2.5 %: clocks or other work disturb the measurement"
        )
    memories = {}
    for name, patterns in (("plain", ()), *((pattern, (pattern,)) for pattern in PATTERNS)):
        _log.info("memory of %s", name)
        memories[name] = peak_memory(Request(recipe=replace(recipe, patterns=patterns), threads=threads))
    print_report(_report(recipe, costs, memories), options.output_format)
    return 0


def measure_time(recipe: Recipe, *, repeats: int) -> dict[str, Cost]:
    """The cost of a step with each pattern. Steps and plain passes are measured in turns."""
    passes = PlainPasses(recipe)
    steps = {pattern: RecipeStep(replace(recipe, patterns=(pattern,))) for pattern in PATTERNS}
    samples: dict[str, list[tuple[float, float]]] = {pattern: [] for pattern in PATTERNS}
    for repeat in range(-1, repeats):  # the first repeat is the warm-up
        _log.info("step %d of %d", repeat + 1, repeats)
        for pattern, step in steps.items():
            times = _milliseconds(passes), _milliseconds(step)
            if repeat >= 0:
                samples[pattern].append(times)
    costs = {}
    for pattern in PATTERNS:
        plain, ours = zip(*samples[pattern], strict=True)
        plain_passes = float(steps[pattern].passes)
        plain_ms, ours_ms = percentile(plain, 50) * plain_passes / passes.count, percentile(ours, 50)
        costs[pattern] = Cost(
            ratio=ours_ms / plain_ms,
            ours_ms=ours_ms,
            ours_cv=coefficient_of_variation(ours),
            plain_passes=plain_passes,
            plain_ms=plain_ms,
            plain_cv=coefficient_of_variation(plain),
            n=repeats,
        )
    return costs


def _milliseconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


def _report(recipe: Recipe, costs: Mapping[str, Cost], memories: Mapping[str, Memory]) -> Report:
    """The report; the key of the plain network in ``memories`` is ``plain``."""
    threads, device = torch.get_num_threads(), fingerprint()
    terms = f"{recipe.backbone}, {size_text(recipe.preprocessing.crop)} px, batch {recipe.batch_size}"
    terms += f", torch {torch.__version__}, {threads} thread{'s' if threads > 1 else ''}, measured on {device}"
    document = {
        **{pattern: msgspec.to_builtins(cost) for pattern, cost in costs.items()},
        "memory": _memory_document(memories),
        "backbone": recipe.backbone,
        "backbone_options": recipe.backbone_options,
        "image_size": recipe.preprocessing.crop,
        "batch": recipe.batch_size,
        "capacities": recipe.capacities,
        "channel_multiple": recipe.channel_multiple,
        "integration": recipe.integration,
        "threads": threads,
        "source": "measured",
        "versions": {
            "python": platform.python_version(),
            **installed_versions("prunnet-export", "torch", "timm", "numpy"),
        },
        "device": msgspec.to_builtins(device),
    }
    return Report(
        title="training cost",
        tables=(_time_table(costs, f"time of a step, medians: {terms}"), _memory_table(memories)),
        document=document,
    )


def _time_table(costs: Mapping[str, Cost], title: str) -> Table:
    columns = ("pattern", "step ms", "cv", "plain passes", "plain ms", "plain cv", "n", "ratio")
    rows = tuple(
        (
            name,
            c.ours_ms,
            f"{c.ours_cv:.1%}",
            c.plain_passes,
            c.plain_ms,
            f"{c.plain_cv:.1%}",
            c.n,
            _as_ratio(c.ratio),
        )
        for name, c in costs.items()
    )
    return Table(title, columns, rows)


def _memory_table(memories: Mapping[str, Memory]) -> Table:
    plain = memories["plain"]
    columns = ("training", "process MiB", "ratio", "above idle MiB", "ratio above idle")
    rows = tuple(
        (name, one.peak_mb, None, one.growth_mb, None)
        if one is plain
        else (
            name,
            one.peak_mb,
            _as_ratio(one.peak_mb / plain.peak_mb),
            one.growth_mb,
            _as_ratio(_ratio_above_idle(one, plain)),
        )
        for name, one in memories.items()
    )
    return Table(f"peak memory of {STEPS} steps in a fresh process, {plain.source}", columns, rows)


def _memory_document(memories: Mapping[str, Memory]) -> dict[str, object]:
    plain, ours = memories["plain"], [memories[pattern] for pattern in PATTERNS]
    known = [ratio for one in ours if (ratio := _ratio_above_idle(one, plain)) is not None]
    return {
        "ratio": max(one.peak_mb for one in ours) / plain.peak_mb,
        "ratio_above_idle": max(known, default=None),
        **{f"{name}_mb": one.peak_mb for name, one in memories.items()},
        **{f"{name}_idle_mb": one.idle_mb for name, one in memories.items()},
        "source": plain.source,
        "steps": STEPS,
    }


def _ratio_above_idle(ours: Memory, plain: Memory) -> float | None:
    return ours.growth_mb / plain.growth_mb if plain.growth_mb > 0 else None


def _as_ratio(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.2f}x"
