"""Which tensors of a file are taken if it has averages of weights beside the weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from prunnet_export.network import load_weights
from prunnet_export.network._weights_names import AVERAGES
from tests._inputs import TINY_RESNET, randomise
from tests.network._weights import assert_loaded, embedder, saved, trained


@pytest.mark.parametrize("wrapped", ["", "module."])
@pytest.mark.parametrize(
    "prefix", [f"{name}." for name in AVERAGES] + ["module.ema.", "ema._orig_mod.", "ema.ema_model."]
)
def test_averaged_weights_are_preferred_under_every_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str, wrapped: str
) -> None:
    source, whole = trained(), embedder()
    averages = {f"{prefix}{wrapped}{name}": tensor for name, tensor in source.items()}
    raw = {name: torch.zeros_like(tensor) for name, tensor in source.items()}
    for other in (None, "", "model."):
        both = averages if other is None else {**{other + name: tensor for name, tensor in raw.items()}, **averages}
        with caplog.at_level(logging.INFO):
            load_weights(whole, saved(tmp_path, both))
        assert_loaded(whole, source)
        assert f"105 tensors matched by name, below {prefix}{wrapped}" in caplog.text
        caplog.clear()


def test_ema_pytorch_and_torchvision_write_what_is_read(tmp_path: Path) -> None:
    source, whole = trained(), embedder()
    state = {"initted": torch.tensor(True), "step": torch.tensor(7)}  # as EMA.state_dict() of ema-pytorch
    state |= {f"online_model.{name}": torch.zeros_like(tensor) for name, tensor in source.items()}
    state |= {f"ema_model.{name}": tensor for name, tensor in source.items()}
    load_weights(whole, saved(tmp_path, state))
    assert_loaded(whole, source)

    options: dict[str, Any] = dict(TINY_RESNET)
    model = timm.create_model("resnet18", num_classes=5, **options)
    model.load_state_dict(source)
    averaged = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    randomise(model, seed=2)
    whole = embedder()
    load_weights(whole, saved(tmp_path, {"model": model.state_dict(), "model_ema": averaged.state_dict()}))
    assert_loaded(whole, source)


def test_averaged_weights_that_do_not_fit_are_passed_over_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, whole = trained(), embedder()
    both = {f"model.{name}": tensor for name, tensor in source.items()}
    both |= {f"model_ema.{name.replace('.', '')}": torch.zeros_like(tensor) for name, tensor in source.items()}
    with caplog.at_level(logging.INFO):
        load_weights(whole, saved(tmp_path, both))
    assert_loaded(whole, source)
    assert "matched by name, below model." in caplog.text
    assert "the averaged weights below model_ema. do not fit, so others are taken" in caplog.text
