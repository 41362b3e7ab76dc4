"""Other rules of multi-task learning that can replace the conflict-aware integration.

For each of them the gradient of a loss is one vector over all weights and scores, and each vector gets one coefficient.
The inner products of the vectors are the sum of the Gram matrices of all tensors and filters. If a rule's coefficients
add up to 1, they are multiplied by m, so that the learning rate has about the same effect as for the plain sum. A rule
with a learned state starts again when m changes.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from prunnet_export._imports import require
from prunnet_export.training import Grams, Integration


class WholeVector(Integration):
    """An integration with one coefficient for each gradient."""

    def coefficients(
        self, weights: Grams, scores: Grams, losses: Tensor, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See :class:`Integration`."""
        gram = torch.stack([one.sum(0) for one in (*weights.values(), *scores.values())]).sum(0)
        found = self.gradient_coefficients(gram, losses, generator)
        return (
            {name: found.expand(len(one), -1) for name, one in weights.items()},
            {name: found.expand(len(one), -1) for name, one in scores.items()},
        )

    @abstractmethod
    def gradient_coefficients(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
        """The coefficients [m] for the inner products [m, m] and the losses [m]; the dense network is the last."""


class FromTorchJD(WholeVector):
    """A weighting of TorchJD that works on Gram matrices.

    Args:
        name: Name of the class in :mod:`torchjd.aggregation`.
        sums_to_one: Whether its weights add up to 1; then they are multiplied by m.
        options: Arguments of its constructor.

    Raises:
        MissingExtra: TorchJD or another package that the weighting needs is not installed.
    """

    def __init__(self, name: str, *, sums_to_one: bool = False, **options: float) -> None:
        if name == "CAGradWeighting":
            require("cvxpy", extra="bench")
        self._weighting: Any = getattr(require("torchjd.aggregation", extra="bench"), name)(**options)
        self._sums_to_one = sums_to_one

    def gradient_coefficients(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`WholeVector`."""
        # TorchJD uses torch's global generator, so it gets a seed from ours.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            found: Tensor = self._weighting(gram)
        return found * len(losses) if self._sums_to_one else found


class Uncertainty(WholeVector):
    """sum_i exp(-s_i) L_i + s_i / 2 with learned s_i = log sigma_i^2 (Kendall et al., CVPR 2018).

    The weights exp(-s_i) are scaled so that their sum is m. Without the scale they make every gradient small while the
    losses are large, which has the same effect as another learning rate. s learns by plain gradient descent with the
    given learning rate.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.log_variances: Tensor | None = None

    def weights(self, losses: Tensor) -> Tensor:
        """The weights exp(-s) [m], scaled so that their sum is m. Then s takes a step."""
        if self.log_variances is None or len(self.log_variances) != len(losses):
            self.log_variances = torch.zeros_like(losses)
        weights = (-self.log_variances).exp()
        self.log_variances = self.log_variances - self.learning_rate * (0.5 - weights * losses)
        return weights * len(weights) / weights.sum()

    def gradient_coefficients(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`WholeVector`."""
        del gram, generator
        return self.weights(losses)


class GradNorm(WholeVector):
    """Learned weights w_i, sum_i w_i = m, with target_i = mean_j(w_j |g_j|) r_i^alpha (Chen et al., ICML 2018).

    r_i is the loss divided by its first value, and then divided by the mean of these ratios over all losses. Adam
    minimises sum_i | w_i |g_i| - target_i | with constant targets.

    Args:
        alpha: A larger alpha gives more weight to losses that decrease slowly; 1.5 in the paper.
        learning_rate: Learning rate of the weights; 0.025 in the paper.
    """

    def __init__(self, alpha: float = 1.5, learning_rate: float = 0.025) -> None:
        self.alpha, self.learning_rate = alpha, learning_rate
        self._first: Tensor | None = None

    def gradient_coefficients(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
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
