"""The report of a plan."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

import torch

from prunnet_export._imports import installed_versions
from prunnet_export._numbers import percent, significant
from prunnet_export.benchmarks.plan._bootstrap import Estimate
from prunnet_export.benchmarks.plan._hours import Hours, hours
from prunnet_export.benchmarks.plan._plan import Plan
from prunnet_export.benchmarks.plan._prediction import FIGURES, MIN_GROUPS
from prunnet_export.benchmarks.plan._search import Scores
from prunnet_export.benchmarks.plan._verdict import Verdict, verdict
from prunnet_export.devices import fingerprint
from prunnet_export.preprocessing import size_text
from prunnet_export.reports import Cell, Report, Table


def report_of(plan: Plan) -> Report:
    """Tables for people, and a document for programs."""
    advice, cost = verdict(plan), hours(plan)
    return Report(
        title="plan",
        tables=(_teacher_table(plan), _adapter_table(plan), _network_table(plan), _hours_table(cost)),
        document=_document(plan, advice, cost),
        footer=(*advice.lines, _machine()),
    )


def interval_text(estimate: Estimate | None) -> str | None:
    """A figure with its interval: ``93.1% (91.0% to 95.0%)``."""
    return None if estimate is None else f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def _teacher_table(plan: Plan) -> Table:
    search = plan.sample.search
    precision = search.precision()
    rows: list[tuple[Cell, ...]] = [
        ("R@1, self-test", interval_text(plan.teacher.recall), "the teacher's queries in the teacher's gallery"),
        (
            "overlap@10 at random",
            f"{search.chance():.1%}",
            "what an embedder shares with the teacher's 10 nearest that knows nothing; the teacher has 100%",
        ),
    ]
    if precision is not None:
        rows.append(
            ("relevant among its 10 nearest", f"{precision:.1%}", "so much of a lost overlap can be a lost match")
        )
    title = (
        f"teacher {plan.source.name}: measured, n {len(search.queries)} queries, {len(search.gallery)} gallery images"
    )
    return Table(title, ("figure", "", "meaning"), tuple(rows))


def _adapter_table(plan: Plan) -> Table:
    with_labels, divisor = plan.figure == "recall", plan.divisor
    rows: list[tuple[Cell, ...]] = [
        (
            f"{point.images}",
            interval_text(point.scores.recall),
            f"{point.scores.main.mean() / divisor:.1%}" if with_labels else None,
            interval_text(point.scores.overlap),
            f"{point.scores.cosine:.3f}",
            f"{point.scale:g}",
            "measured",
        )
        for point in plan.curve
    ]
    share = f"{plan.whole.value / divisor:.1%}" if with_labels else None
    figures = (interval_text(plan.whole), share, None) if with_labels else (None, None, interval_text(plan.whole))
    kind = "predicted" if plan.sample.whole > plan.curve[-1].images else "measured"
    rows.append((f"{plan.sample.whole} (all)", *figures, None, None, kind))
    start = "random weights" if plan.options.weights is None else plan.options.weights.name
    recipe = plan.sample.recipe
    title = (
        f"best linear map from {recipe.backbone} ({start}, {size_text(recipe.preprocessing.crop)} px), "
        f"nothing trained; n {len(plan.sample.search.queries)} queries"
    )
    return Table(title, ("images", "R@1", "of self-test", "overlap@10", "cosine", "scale", "source"), tuple(rows))


def _network_table(plan: Plan) -> Table:
    predicted, rows = plan.predictions(), []
    for capacity, scores in plan.trials.longer.scores.items():
        one = predicted.get(capacity)
        outlook: tuple[Cell, ...] = (None, None, None)
        if one is not None:
            figure = Estimate(*(value * plan.divisor for value in (one.value, one.low, one.high)))
            share = Estimate(one.value, one.low, one.high)
            passes = "yes" if one.low >= plan.gate else "no" if one.high < plan.gate else "unclear"
            outlook = (interval_text(figure), interval_text(share), passes)
        measured = (f"{each.main.mean():.1%}" for each in (plan.trials.shorter.scores[capacity], scores))
        rows.append((percent(capacity), *measured, *outlook))
    name = FIGURES[plan.figure]
    columns = (
        "capacity",
        f"{name} after {plan.trials.shorter.steps} steps, measured",
        f"after {plan.trials.longer.steps} steps, measured",
        f"after {plan.sample.steps} steps, predicted",
        "share of the teacher's own, predicted",
        f"passes {plan.gate:.0%}",
    )
    return Table(f"prunable network, pattern {plan.sample.recipe.patterns[0]}; {_basis(plan)}", columns, tuple(rows))


def _basis(plan: Plan) -> str:
    if plan.model is None:
        return f"no prediction: it needs measured runs of {MIN_GROUPS} pairs of teacher and data with this figure"
    model = plan.model
    text = f"90 % intervals from {model.cells} measured cells of {model.groups} pairs of teacher and data"
    return text + ("; widened: the trials are too short for this training" if plan.trials_too_short else "")


def _hours_table(cost: Hours) -> Table:
    step = f"{significant(cost.seconds_per_step)} s a step"
    rows: list[tuple[Cell, ...]] = [("training", step, cost.n_steps, cost.steps, f"{cost.training_h:.2f}")]
    if cost.speed is not None:
        rows.append(
            (
                "teacher's vectors",
                f"{significant(cost.speed.per_second)} images/s, one process",
                cost.speed.n,
                cost.vectors,
                f"{cost.vectors_h:.2f}",
            )
        )
    return Table("hours on this machine, measured", ("work", "median", "n", "in all", "hours"), tuple(rows))


def _machine() -> str:
    threads = torch.get_num_threads()
    return f"measured on {fingerprint()}, torch {torch.__version__}, {threads} thread{'s' if threads > 1 else ''}"


def _document(plan: Plan, advice: Verdict, cost: Hours) -> dict[str, Any]:
    sample, predicted, model = plan.sample, plan.predictions(), plan.model
    recipe = sample.recipe
    return {
        "verdict": advice.kind,
        "advice": list(advice.lines),
        "gate": {"figure": plan.figure, "share": plan.gate},
        "data": plan.data.name,
        "teacher": {
            "name": plan.source.name,
            "kind": plan.source.kind,
            "sha256": plan.source.sha256,
            **_figures(plan.teacher),
            "precision_at_10": sample.search.precision(),
            "chance_overlap": sample.search.chance(),
        },
        "student": {
            "backbone": recipe.backbone,
            "weights_sha256": recipe.weights_sha256,
            "crop_px": recipe.preprocessing.crop,
        },
        "n_queries": len(sample.search.queries),
        "n_gallery": len(sample.search.gallery),
        "images": {"sampled": len(sample.split), "learned_from": len(sample.match.targets.rows), "whole": sample.whole},
        "adapter": {
            "source": "measured",
            "points": [{"images": p.images, "scale": p.scale, **_figures(p.scores)} for p in plan.curve],
            "whole": {"images": sample.whole, "source": "predicted", **asdict(plan.whole)},
        },
        "network": [
            {
                "capacity": capacity,
                "shorter_trial": {
                    "source": "measured",
                    "steps": plan.trials.shorter.steps,
                    **_figures(plan.trials.shorter.scores[capacity]),
                },
                "longer_trial": {"source": "measured", "steps": plan.trials.longer.steps, **_figures(scores)},
                "share": None if capacity not in predicted else {"source": "predicted", **asdict(predicted[capacity])},
            }
            for capacity, scores in plan.trials.longer.scores.items()
        ],
        "model": None
        if model is None
        else {
            "factor": model.factor,
            "half_width": model.half_width,
            "measured_reach": model.reach,
            "measured_shorter_steps": model.shorter_steps,
            "cells": model.cells,
            "groups": model.groups,
        },
        "hours": {"source": "measured", **asdict(cost)},
        "versions": {"python": platform.python_version(), **installed_versions("prunnet-export", "torch", "timm")},
        "device": str(fingerprint()),
    }


def _figures(scores: Scores) -> dict[str, Any]:
    return {
        "recall": None if scores.recall is None else asdict(scores.recall),
        "overlap": asdict(scores.overlap),
        "cosine": scores.cosine,
    }
