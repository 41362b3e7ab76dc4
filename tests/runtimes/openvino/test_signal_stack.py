"""Engines leave the signal stack of a thread as it was. Otherwise the next signal can end the process."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes import Model
from prunnet_export.runtimes.openvino import OpenVino
from prunnet_export.runtimes.openvino._quantise import quantise_openvino
from prunnet_export.runtimes.openvino._signal_stack import SignalStack, same_signal_stack

engine = pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the plugin sets a signal stack on Linux alone")


def signal_stack() -> int | None:
    """The address of this thread's signal stack."""
    stack = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    start: int | None = stack.start
    return start


def loaded() -> object:
    core = engine.Core()
    core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # loads the plugin
    return core


def test_sessions_that_overlap(tiny_model: Callable[..., Path]) -> None:
    model = Model(tiny_model(), "openvino")
    OpenVino().open(model, threads=1)
    before = signal_stack()
    first, second = (OpenVino().open(model, threads=1) for _ in range(2))
    del first
    del second
    assert signal_stack() == before


def test_engines_that_overlap() -> None:
    before = signal_stack()
    with same_signal_stack():
        first, second = loaded(), loaded()
        assert signal_stack() != before
    assert signal_stack() == before
    del first
    del second
    assert signal_stack() == before


def test_quantisation_that_fails(tiny_model: Callable[..., Path]) -> None:
    pytest.importorskip("nncf")
    file, before, errors = tiny_model(), signal_stack(), []
    for _ in range(2):
        model = engine.Core().read_model(file)
        with pytest.raises(InvalidInput, match="cannot be quantised") as caught:
            quantise_openvino(model, [np.zeros((1, 3, 8, 8), np.float32)])
        errors.append(caught)  # its traceback holds nncf's engine
        assert signal_stack() == before
    while errors:
        del errors[0]
        gc.collect()
    assert signal_stack() == before
