"""Other multi-task integrations, in the place of the conflict-aware one.

Each sees the gradients of all losses as whole vectors of weights and scores, through the sum of the Gram matrices of
all tensors and filters, and multiplies each vector by one number. Numbers that add up to 1 are multiplied by m, so that
a learning rate means about what it means for the plain sum. What is learned from step to step begins anew where m
changes.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from prunnet_export._imports import require
from prunnet_export.training import Grams, Integration


class WholeVector(Integration):
    """An integration that has one coefficient for each gradient."""

    def coefficients(
        self, weights: Grams, scores: Grams, losses: Tensor, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See :class:`Integration`."""
        gram = torch.stack([one.sum(0) for one in (*weights.values(), *scores.values())]).sum(0)
        found = self.whole(gram, losses, generator)
        return (
            {name: found.expand(len(one), -1) for name, one in weights.items()},
            {name: found.expand(len(one), -1) for name, one in scores.items()},
        )

    @abstractmethod
    def whole(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
        """The coefficients [m], from the inner products [m, m] and the losses [m]; the dense network is the last."""


class FromTorchJD(WholeVector):
    """A Gramian weighting of TorchJD.

    Args:
        name: The class in :mod:`torchjd.aggregation`.
        share: Its weights add up to 1 and are multiplied by m.
        options: Of its constructor.

    Raises:
        MissingExtra: TorchJD is not installed, or what the weighting needs.
    """

    def __init__(self, name: str, *, share: bool = False, **options: float) -> None:
        if name == "CAGradWeighting":
            require("cvxpy", extra="bench")
        self._weighting: Any = getattr(require("torchjd.aggregation", extra="bench"), name)(**options)
        self._share = share

    def whole(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`WholeVector`."""
        # TorchJD draws its orders from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            found: Tensor = self._weighting(gram)
        return found * len(losses) if self._share else found


class Uncertainty(WholeVector):
    """sum_i exp(-s_i) L_i + s_i / 2 with learned s_i = log sigma_i^2 (Kendall et al., CVPR 2018).

    The weights exp(-s_i) are scaled to add up to m: by themselves they shrink every gradient while losses are large,
    and a comparison would be one of learning rates.

    Args:
        learning_rate: Of plain gradient descent on s.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.log_variances: Tensor | None = None

    def weights(self, losses: Tensor) -> Tensor:
        """exp(-s) [m], scaled to add up to m; then s takes a step."""
        if self.log_variances is None or len(self.log_variances) != len(losses):
            self.log_variances = torch.zeros_like(losses)
        weights = (-self.log_variances).exp()
        self.log_variances = self.log_variances - self.learning_rate * (0.5 - weights * losses)
        return weights * len(weights) / weights.sum()

    def whole(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`WholeVector`."""
        del gram, generator
        return self.weights(losses)


class GradNorm(WholeVector):
    """Weights w_i, sum_i w_i = m, for which all w_i |g_i| become mean_j(w_j |g_j|) r_i^alpha (Chen et al., ICML 2018).

    r_i is the loss as a share of its first value, over the mean of these shares. The weights learn by Adam from
    sum_i | w_i |g_i| - target_i |, the target being held.

    Args:
        alpha: How strongly losses that lag behind are favoured; 1.5 in the paper.
        learning_rate: Of the weights; 0.025 in the paper.
    """

    def __init__(self, alpha: float = 1.5, learning_rate: float = 0.025) -> None:
        self.alpha, self.learning_rate = alpha, learning_rate
        self._first: Tensor | None = None

    def whole(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`WholeVector`."""
        del generator
        if self._first is None or len(self._first) != len(losses):
            self._first = losses
            self._weights = torch.ones_like(losses)
            self._adam = torch.optim.Adam([self._weights], lr=self.learning_rate)
        used = self._weights.clone()
        norms = gram.diagonal().clamp(min=0).sqrt()
        share = losses / self._first.clamp(min=torch.finfo(losses.dtype).tiny)
        target = (used * norms).mean() * (share / share.mean()) ** self.alpha
        self._weights.grad = (used * norms - target).sign() * norms
        self._adam.step()
        self._weights.clamp_(min=1e-3)
        self._weights.mul_(len(losses) / self._weights.sum())
        return used
