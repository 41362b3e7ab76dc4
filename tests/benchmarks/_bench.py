"""A comparison of methods on a tiny network and a data set in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prunnet_export.benchmarks.methods import Bench, Settings
from prunnet_export.network_config import DataSource
from prunnet_export.preprocessing import Preprocessing
from tests._inputs import TINY_RESNET, retrieval_data


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
