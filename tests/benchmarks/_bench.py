"""A comparison of methods on a tiny network and a data set in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from prunnet_export.benchmarks.methods import Bench, MatchBench, Settings
from prunnet_export.network_config import DataSource
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training import Match, MatchSettings
from prunnet_export.training._match import match
from tests._inputs import TINY_RESNET, retrieval_data

TEACHER = MatchSettings(teacher="their.npz", kind="vectors", sha256="0" * 64)


def tiny_settings(**changed: Any) -> Settings:
    """Two steps of a tiny ResNet at two capacities, evaluated at three."""
    fields: dict[str, Any] = {
        "data": DataSource(source="in memory"),
        "preprocessing": Preprocessing(crop=32, resize=32),
        "backbone": "resnet18",
        "backbone_options": dict(TINY_RESNET),
        "embedding_dim": 8,
        "steps": 2,
        "batch_size": 12,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "schedule": "cosine",
        "weight_decay": 5e-4,
        "channel_multiple": 4,
        "train_capacities": (0.6, 0.3),
        "random_capacities": 0,
        "dense_first": 0.0,
        "distillation": 0.0,
        "capacities": (0.6, 0.45, 0.3),
        "max_queries": 100,
        "max_gallery": 100,
    }
    return Settings(**{**fields, **changed})


def tiny_bench(folder: Path, **changed: Any) -> Bench:
    """The settings, the images, and a folder for dense networks."""
    return Bench(tiny_settings(**changed), retrieval_data(), folder)


def tiny_match() -> Match:
    """A teacher of 8 dimensions that is known by its vectors of the training images."""
    split = retrieval_data().train
    vectors = np.random.default_rng(0).normal(0.5, 1, (len(split), 8)).astype(np.float32)
    known = np.ones(len(split), np.bool_)
    return match(
        lambda rows, _: vectors[rows], known, split, name=TEACHER.teacher, kind=TEACHER.kind, sha256=TEACHER.sha256
    )


def tiny_match_bench(folder: Path, *, nested_cost: float = 1.0, **changed: Any) -> MatchBench:
    """The settings, the images, and the teacher's vectors of them."""
    settings, known = tiny_settings(match=TEACHER, **changed), tiny_match()
    return MatchBench(
        settings, retrieval_data(), folder, match=lambda _seed: known, nested_cost=lambda _seed: nested_cost
    )


def forget_widths(runs: Path) -> None:
    """Make the settings of finished runs those of an older version, which did not say how wide the cuts are."""
    file = runs / "settings.json"
    settings = json.loads(file.read_bytes())
    assert settings.pop("widths") == "by cost and rank"
    file.write_text(json.dumps(settings))
