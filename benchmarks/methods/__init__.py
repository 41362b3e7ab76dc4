"""The training methods that ``prunnet-bench methods`` compares."""

from __future__ import annotations

from prunnet_export.benchmarks.methods._base import Bench, Method, Settings, Trained
from prunnet_export.benchmarks.methods.aggregation import FromTorchJD, GradNorm, Uncertainty
from prunnet_export.benchmarks.methods.dense import Dense
from prunnet_export.benchmarks.methods.distillation import anchors, neighbours, regression
from prunnet_export.benchmarks.methods.magnitude import Magnitude
from prunnet_export.benchmarks.methods.matching import MatchBench, MatchMethod, MatchTrained, Nested, Students
from prunnet_export.benchmarks.methods.matching_losses import csd, d3still, raml, ssp
from prunnet_export.benchmarks.methods.matching_losses import regression as matching_regression
from prunnet_export.benchmarks.methods.one_to_one import OneToOne, bct, independent
from prunnet_export.benchmarks.methods.prunable import Prunable
from prunnet_export.benchmarks.methods.slices import Slimmable, self_compatible

# The settings of PrunNet's release, which replace those of the comparison.
_RELEASED = {
    "capacities": (0.8, 0.6, 0.4, 0.2),
    "random_capacities": 0,
    "dense_first": 0.0,
    "distillation": 0.0,
    "integration": "last-conflict",
    "gamma": 0.5,
}
# No conflict resolution, no start with the dense network alone, and no distillation.
_PLAIN_SUM = {"integration": "sum", "dense_first": 0.0, "distillation": 0.0}

_ALL: tuple[Method, ...] = (
    Dense(),
    Magnitude(),
    # Our methods: conflicts are resolved progressively (PrunNet, CVPR 2025, section 3.3; PCGrad's projection).
    Prunable("channel"),
    Prunable("unstructured", patterns=("unstructured",)),
    Prunable("block", patterns=("block",)),
    # Four patterns in one network; every step trains subnetworks of all four.
    Prunable("patterns", patterns=("channel", "2:4", "block", "unstructured")),
    # As in PrunNet's release: masks at 80, 60, 40 and 20 %; only the last conflict is resolved.
    Prunable("prunnet", patterns=("unstructured",), changed=_RELEASED),
    Prunable("joint", changed=_PLAIN_SUM),
    Prunable("joint-unstructured", patterns=("unstructured",), changed=_PLAIN_SUM),
    OneToOne("independent", independent),
    OneToOne("bct", bct),
    Slimmable("switchable"),
    Slimmable("sfsc", self_compatible),
    OneToOne("aml", regression, teacher=True),
    OneToOne("csd", neighbours, teacher=True),
    OneToOne("ssp", anchors, teacher=True),
    # Gradient surgery: g_i loses its component along every g_j that it conflicts with (Yu et al., NeurIPS 2020).
    Prunable("pcgrad", integration=lambda _: FromTorchJD("PCGradWeighting")),
    # Conflict-averse descent: the update within 0.4 |g_0| of the mean g_0 for which the least improved loss improves
    # most (Liu et al., NeurIPS 2021).
    Prunable("cagrad", integration=lambda _: FromTorchJD("CAGradWeighting", c=0.4, sums_to_one=True)),
    # Gradient vaccine: a pair that is less similar than its moving average is turned until it reaches the average (Wang
    # et al., ICLR 2021). In TorchJD all weights are one vector, and the moving average has the factor 0.5.
    Prunable("gradvac", integration=lambda _: FromTorchJD("GradVacWeighting")),
    # The shortest convex combination of the gradients (Desideri 2012; Sener and Koltun, NeurIPS 2018), times m.
    Prunable("mgda", integration=lambda _: FromTorchJD("MGDAWeighting", sums_to_one=True)),
    Prunable("uncertainty", integration=lambda recipe: Uncertainty(recipe.learning_rate)),
    Prunable("gradnorm", integration=lambda _: GradNorm()),
)
METHODS = {method.name: method for method in _ALL}

_OBJECTIVES = {"regression": matching_regression, "csd": csd, "ssp": ssp, "raml": raml, "d3still": d3still}
_MATCHING: tuple[MatchMethod, ...] = (
    Nested(),
    *(Students(name, objective) for name, objective in _OBJECTIVES.items()),
    *(Students(f"{name}-equal-cost", objective, equal_cost=True) for name, objective in _OBJECTIVES.items()),
)
MATCHING = {method.name: method for method in _MATCHING}
"""The methods that answer the gallery of a teacher."""
NESTED = _MATCHING[0].name

__all__ = [
    "MATCHING",
    "METHODS",
    "NESTED",
    "Bench",
    "MatchBench",
    "MatchMethod",
    "MatchTrained",
    "Method",
    "Settings",
    "Trained",
]
