"""What a training step costs, as a multiple of plain forward/backward passes."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import click
import msgspec
import torch

from prunnet_export._console import note, warn
from prunnet_export.benchmarks._training_cost_memory import STEPS, Memory, peak_memory
from prunnet_export.benchmarks._training_cost_steps import PlainPasses, RecipeStep, Settings
from prunnet_export.devices import fingerprint
from prunnet_export.measuring import UNSTEADY, coefficient_of_variation, percentile
from prunnet_export.network_config import BackboneOption
from prunnet_export.reports import Report, Table, render
from prunnet_export.training._allocator import keep_freed_memory

PATTERNS = ("unstructured", "channel")


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The time of one pattern's step.

    Attributes:
        ratio: ``ours_ms`` over ``plain_ms``.
        ours_ms: Median of a whole step.
        ours_cv: Its coefficient of variation.
        plain_passes: How many plain passes it is held against: N + 1, of ``channel`` 1 + the sum of the capacities.
        plain_ms: Median of N + 1 plain passes in a row, times ``plain_passes`` / (N + 1).
        plain_cv: Its coefficient of variation.
        n: Samples of each, taken in turns.
        percentile: Of both times.
    """

    ratio: float
    ours_ms: float
    ours_cv: float
    plain_passes: float
    plain_ms: float
    plain_cv: float
    n: int
    percentile: int = 50


def training_cost_table(
    *,
    backbone: str,
    backbone_options: Mapping[str, BackboneOption],
    image_size: int,
    batch: int,
    capacities: tuple[float, ...],
    repeats: int,
    threads: int | None,
    output_format: str,
    **_: Any,
) -> int:
    """Measure and print the cost of a training step, in time and memory."""
    settings = Settings(
        backbone=backbone,
        backbone_options=dict(backbone_options),
        image_size=image_size,
        batch=batch,
        capacities=capacities,
        threads=threads,
    )
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()  # as prunnet-train does; the plain passes have it too
    costs = measure_time(settings, repeats=repeats, say=note)
    if max(max(cost.ours_cv, cost.plain_cv) for cost in costs.values()) > UNSTEADY:
        warn("the coefficient of variation of some times is over 2.5 %: clocks or other work disturb the measurement")
    note("memory of the plain passes")
    plain = peak_memory(settings, None)
    ours = {}
    for pattern in PATTERNS:
        note(f"memory of {pattern}")
        ours[pattern] = peak_memory(settings, pattern)
    click.echo(render(_report(settings, costs, plain, ours), output_format), nl=False)
    return 0


def measure_time(
    settings: Settings, *, repeats: int, say: Callable[[str], None] = lambda _line: None
) -> dict[str, Cost]:
    """The cost of a step of each pattern; steps and plain passes take turns."""
    passes, steps = PlainPasses(settings), {pattern: RecipeStep(settings, pattern) for pattern in PATTERNS}
    plain: dict[str, list[float]] = {pattern: [] for pattern in PATTERNS}
    ours: dict[str, list[float]] = {pattern: [] for pattern in PATTERNS}
    for repeat in range(-1, repeats):  # the first is warming up
        say(f"step {repeat + 1} of {repeats}")
        for pattern, step in steps.items():
            times = _milliseconds(passes), _milliseconds(step)
            if repeat >= 0:
                plain[pattern].append(times[0])
                ours[pattern].append(times[1])
    costs = {}
    for pattern in PATTERNS:
        held_against = 1 + sum(settings.capacities) if pattern == "channel" else float(passes.count)
        plain_ms = percentile(plain[pattern], 50) * held_against / passes.count
        ours_ms = percentile(ours[pattern], 50)
        costs[pattern] = Cost(
            ratio=ours_ms / plain_ms,
            ours_ms=ours_ms,
            ours_cv=coefficient_of_variation(ours[pattern]),
            plain_passes=held_against,
            plain_ms=plain_ms,
            plain_cv=coefficient_of_variation(plain[pattern]),
            n=repeats,
        )
    return costs


def _milliseconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


def _report(settings: Settings, costs: Mapping[str, Cost], plain: Memory, ours: Mapping[str, Memory]) -> Report:
    threads, here = torch.get_num_threads(), fingerprint()
    above_idle = {p: memory.growth_mb / plain.growth_mb if plain.growth_mb > 0 else None for p, memory in ours.items()}
    times = tuple(
        (
            pattern,
            cost.ours_ms,
            f"{cost.ours_cv:.1%}",
            cost.plain_passes,
            cost.plain_ms,
            f"{cost.plain_cv:.1%}",
            cost.n,
            _times(cost.ratio),
        )
        for pattern, cost in costs.items()
    )
    memories = (
        ("plain", plain.peak_mb, None, plain.growth_mb, None),
        *(
            (pattern, m.peak_mb, _times(m.peak_mb / plain.peak_mb), m.growth_mb, _times(above_idle[pattern]))
            for pattern, m in ours.items()
        ),
    )
    known = [ratio for ratio in above_idle.values() if ratio is not None]
    terms = f"{settings.backbone}, {settings.image_size} px, batch {settings.batch}, torch {torch.__version__}"
    terms += f", {threads} thread{'s' if threads > 1 else ''}, measured on {here}"
    return Report(
        title="training cost",
        tables=(
            Table(
                f"time of a step, medians: {terms}",
                ("pattern", "step ms", "cv", "plain passes", "plain ms", "plain cv", "n", "ratio"),
                times,
            ),
            Table(
                f"peak memory of {STEPS} steps in a fresh process, {plain.source}",
                ("training", "process MiB", "ratio", "above idle MiB", "ratio above idle"),
                memories,
            ),
        ),
        document={
            **{pattern: msgspec.to_builtins(cost) for pattern, cost in costs.items()},
            "memory": {
                "ratio": max(memory.peak_mb for memory in ours.values()) / plain.peak_mb,
                "ratio_above_idle": max(known, default=None),
                **{f"{name}_mb": memory.peak_mb for name, memory in (("plain", plain), *ours.items())},
                **{f"{name}_idle_mb": memory.idle_mb for name, memory in (("plain", plain), *ours.items())},
                "source": plain.source,
                "steps": STEPS,
            },
            **{name: value for name, value in msgspec.to_builtins(settings).items() if name != "threads"},
            "channel_multiple": settings.recipe(PATTERNS[0]).channel_multiple,
            "integration": settings.recipe(PATTERNS[0]).integration,
            "threads": threads,
            "source": "measured",
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("prunnet-export", "torch", "timm", "numpy")},
            },
            "device": msgspec.to_builtins(here),
        },
    )


def _times(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.2f}x"
