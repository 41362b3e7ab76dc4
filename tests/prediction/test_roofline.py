"""Golden values of the roofline: compute-bound, memory-bound, and the fixed cost of a layer."""

from __future__ import annotations

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.precision import FP16, FP32, INT8
from prunnet_export.prediction import Workload
from prunnet_export.prediction._roofline import roofline_ms
from prunnet_export.prediction._workload import Layer
from prunnet_export.target import Limits

LIMITS = Limits(
    tera_macs={"fp16": 1.0, "int8": 2.0}, memory_gb_s=100, efficiency=0.5, layer_us=10, source="a data sheet"
)


def one(macs: int, weights: int) -> Workload:
    layer = Layer(macs=macs, kept_macs=0, weights=weights, kept_weights=0, activations=0)
    return Workload(layers=(layer,))


def test_compute_bound() -> None:
    assert roofline_ms(one(10**9, 0), LIMITS, precision=FP16) == pytest.approx(2 + 0.01)
    assert roofline_ms(one(10**9, 0), LIMITS, precision=INT8) == pytest.approx(1 + 0.01)


def test_memory_bound() -> None:
    assert roofline_ms(one(0, 10**8), LIMITS, precision=FP16) == pytest.approx(2 + 0.01)
    assert roofline_ms(one(0, 10**8), LIMITS, precision=INT8) == pytest.approx(1 + 0.01)


def test_each_layer_is_bound_by_itself() -> None:
    layers = (*one(10**9, 0).layers, *one(0, 10**8).layers)
    assert roofline_ms(Workload(layers=layers), LIMITS, precision=FP16) == pytest.approx(4 + 0.02)


def test_an_unknown_precision() -> None:
    with pytest.raises(InvalidInput, match="fp32"):
        roofline_ms(one(1, 1), LIMITS, precision=FP32)
