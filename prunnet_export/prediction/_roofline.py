"""Latency from a data sheet, without measurements: the sum of the layers' rooflines."""

from __future__ import annotations

from prunnet_export._errors import InvalidInput
from prunnet_export.precision import Precision
from prunnet_export.prediction._workload import Workload
from prunnet_export.target import Limits

SAFETY_FACTOR = 1.5
"""Ratio of the upper bound to the roofline: an assumption, not a statistic."""


def roofline_ms(workload: Workload, limits: Limits, *, precision: Precision) -> float:
    """Milliseconds of one image: the sum over layers of max(arithmetic, memory traffic) plus a fixed cost.

    A layer takes ``macs / (efficiency * peak)`` or ``bytes / bandwidth``, whichever is longer (Williams et al.,
    "Roofline", CACM 2009), plus ``layer_us`` for its start. Zeros do not make it faster. Raises InvalidInput if
    the limits do not contain the precision.
    """
    peak = limits.tera_macs.get(precision.name)
    if peak is None:
        raise InvalidInput(
            f"the target's limits say nothing of {precision.name}", hint=f"known: {', '.join(sorted(limits.tera_macs))}"
        )
    seconds = sum(
        max(
            layer.macs / (limits.efficiency * peak * 1e12),
            (layer.weights + layer.activations) * precision.weight_bytes / (limits.memory_gb_s * 1e9),
        )
        + limits.layer_us * 1e-6
        for layer in workload.layers
    )
    return 1000 * seconds
