"""Networks of given layers with given scores, and masks of them worked out one weight at a time."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from prunnet_export.network import Embedder, PrunableNetwork
from prunnet_export.patterns import Pattern
from prunnet_export.preprocessing import Preprocessing

FIRST = "backbone.0.weight"


def network_of(*layers: nn.Module) -> PrunableNetwork:
    """These layers one after another; nothing says that they fit together."""
    embedder = Embedder(nn.Sequential(*layers), features=1, dim=2, preprocessing=Preprocessing(crop=8, resize=8))
    return PrunableNetwork(embedder, size=(8, 8))


def scored(scores: Tensor) -> PrunableNetwork:
    """One linear layer or convolution whose scores are these."""
    outputs, inputs = scores.shape[:2]
    layer = nn.Linear(inputs, outputs) if scores.ndim == 2 else nn.Conv2d(inputs, outputs, tuple(scores.shape[2:]))  # type: ignore[arg-type]
    network = network_of(layer)
    with torch.no_grad():
        network.scores()[FIRST].copy_(scores)
    return network


def mask_of(pattern: Pattern, scores: Tensor, capacity: float) -> Tensor:
    [found] = pattern.subnetworks(scored(scores), [capacity])
    return found.masks()[FIRST]


@st.composite
def scores(draw: st.DrawFn, *, outputs: st.SearchStrategy[int], inputs: st.SearchStrategy[int]) -> Tensor:
    """Scores [K, C] or [K, C, R, S], either of distinct values or of few that tie often."""
    shape = (draw(outputs), draw(inputs), *draw(st.sampled_from([(), (1, 1), (3, 2)])))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    if draw(st.booleans()):
        return torch.randint(-3, 4, shape, generator=generator).float()
    return torch.randn(shape, generator=generator)
