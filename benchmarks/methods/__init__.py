"""Training methods, to be compared on equal terms."""

from __future__ import annotations

from prunnet_export.benchmarks.methods._base import Bench, Method, Settings, Trained
from prunnet_export.benchmarks.methods.aggregation import (
    MGDA,
    CAGrad,
    GradNormWeighting,
    GradVac,
    PCGrad,
    UncertaintyWeighting,
)
from prunnet_export.benchmarks.methods.dense import Dense
from prunnet_export.benchmarks.methods.distillation import Aml, Csd, Ssp
from prunnet_export.benchmarks.methods.one_to_one import Bct, Independent
from prunnet_export.benchmarks.methods.prunnet import (
    Block,
    Channel,
    Joint,
    JointUnstructured,
    Patterns,
    Released,
    Unstructured,
)
from prunnet_export.benchmarks.methods.slices import Sfsc, Switchable

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Dense(),
        Channel(),
        Unstructured(),
        Block(),
        Patterns(),
        Released(),
        Joint(),
        JointUnstructured(),
        Independent(),
        Bct(),
        Switchable(),
        Sfsc(),
        Aml(),
        Csd(),
        Ssp(),
        PCGrad(),
        CAGrad(),
        GradVac(),
        MGDA(),
        UncertaintyWeighting(),
        GradNormWeighting(),
    )
}

__all__ = ["METHODS", "Bench", "Method", "Settings", "Trained"]
