"""One training step: every subnetwork and the dense network, at the same parameters, without copying the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Subnetwork
from prunnet_export.training._batches import Batch
from prunnet_export.training._distributed import ALONE, Ranks
from prunnet_export.training._integration import Integration, as_filters, combine, gram_matrices

MAX_NORM = 100.0


@dataclass(frozen=True)
class StepResult:
    """What one step did.

    Attributes:
        dense_loss: Cross-entropy of the dense network.
        subnetwork_losses: Cross-entropy of each subnetwork, in the order given.
        gradient_norm: Norm of the integrated gradient before it was clipped.
    """

    dense_loss: float
    subnetwork_losses: tuple[float, ...]
    gradient_norm: float


class GradientStep:
    """Writes the integrated gradient of a batch into ``.grad`` of every parameter.

    Classifier, projector and norms learn from the dense loss alone; compatibility comes from sharing them.
    With G = dL/d(M * W) a weight's gradient is M * G and a score's is M * sign(S) * W * G (PrunNet, section 3).
    The gradients of all subnetworks lie in one buffer per weight, which is kept from step to step.

    Args:
        network: In training mode. Its running statistics follow the dense pass alone.
        classifier: On the un-normalised embedding.
        integration: How the gradients become one.
        ranks: The processes that train together; their gradients are averaged before they are integrated.
        bfloat16: Compute forward passes in bfloat16 where torch's autocast does; parameters stay float32.
    """

    def __init__(
        self,
        network: PrunableNetwork,
        classifier: nn.Linear,
        integration: Integration,
        *,
        ranks: Ranks = ALONE,
        bfloat16: bool = False,
    ) -> None:
        self._network, self._classifier, self._integration = network, classifier, integration
        self._ranks, self._bfloat16, self._dtype = ranks, bfloat16, classifier.weight.dtype
        self._weights = network.prunable_weights()
        scored = {id(weight) for weight in self._weights.values()}
        embedder_and_classifier = [*network.embedder.parameters(), *classifier.parameters()]
        self._shared = [parameter for parameter in embedder_and_classifier if id(parameter) not in scored]
        self._gradients: dict[str, Tensor] = {}

    def __call__(
        self, subnetworks: Sequence[Subnetwork], batches: Sequence[Batch], *, generator: torch.Generator
    ) -> StepResult:
        """Gradients of the mean loss over the batches.

        Args:
            subnetworks: Made from the current scores.
            batches: One, or several of one size whose gradients are accumulated: images float32 [b, 3, h, w] in
                0..1, labels int64 [b].
            generator: For the integration; the same on every rank.
        """
        losses = self._accumulate(subnetworks, batches)
        self._ranks.average([losses, *self._gradients.values(), *(p.grad for p in self._shared if p.grad is not None)])
        self._integrate(losses, generator)
        norm = nn.utils.clip_grad_norm_([*self._network.parameters(), *self._classifier.parameters()], MAX_NORM)
        *of_subnetworks, of_dense = losses.tolist()
        return StepResult(of_dense, tuple(of_subnetworks), float(norm))

    def _accumulate(self, subnetworks: Sequence[Subnetwork], batches: Sequence[Batch]) -> Tensor:
        """Fill the buffers, the dense network last, and ``.grad`` of what is shared; the mean losses [m]."""
        self._clear(len(subnetworks) + 1)
        tensors = self._network.tensors()
        losses = torch.zeros(len(subnetworks) + 1, dtype=self._dtype, device=batches[0][0].device)
        share = 1 / len(batches)
        for images, labels in batches:
            for row, subnetwork in enumerate(subnetworks):
                out = {name: buffer[row] for name, buffer in self._gradients.items()}
                losses[row] += self._subnetwork(subnetwork, tensors, images, labels, out, share=share)
            losses[-1] += self._dense(images, labels, share=share)
        return losses

    def _clear(self, count: int) -> None:
        for name, weight in self._weights.items():
            buffer = self._gradients.get(name)
            if buffer is None or len(buffer) != count:
                self._gradients[name] = weight.new_zeros(count, *weight.shape)
            else:
                buffer.zero_()
        for parameter in self._shared:
            parameter.grad = None

    def _subnetwork(
        self,
        subnetwork: Subnetwork,
        tensors: Mapping[str, Tensor],
        images: Tensor,
        labels: Tensor,
        out: Mapping[str, Tensor],
        *,
        share: float,
    ) -> Tensor:
        gathered = subnetwork.gather(tensors)
        leaves = {name: gathered[name].requires_grad_() for name in self._weights}
        classifier = {name: parameter.detach() for name, parameter in self._classifier.named_parameters()}
        with self._autocast(images):
            # The gathered buffers are copies: batch statistics are used and the dense running ones stay untouched.
            embedding = functional_call(subnetwork.structure.train(), gathered, (images,))
            logits = functional_call(self._classifier, classifier, (embedding,))
        loss = share * F.cross_entropy(logits.to(self._dtype), labels)
        subnetwork.scatter(dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True)), out)
        return loss.detach()

    def _dense(self, images: Tensor, labels: Tensor, *, share: float) -> Tensor:
        with self._autocast(images):
            logits = self._classifier(self._network(images))
        loss = share * F.cross_entropy(logits.to(self._dtype), labels)
        computed = torch.autograd.grad(loss, [*self._weights.values(), *self._shared])
        for name, gradient in zip(self._weights, computed, strict=False):
            self._gradients[name][-1] += gradient
        for parameter, gradient in zip(self._shared, computed[len(self._weights) :], strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return loss.detach()

    def _integrate(self, losses: Tensor, generator: torch.Generator) -> None:
        scores = self._network.scores()
        slopes, of_weights, of_scores = {}, {}, {}
        for name, weight in self._weights.items():
            gradients = as_filters(self._gradients[name])
            slopes[name] = as_filters((scores[name].detach().sign() * weight.detach()).unsqueeze(0))[0]
            of_weights[name] = gram_matrices(gradients)
            of_scores[name] = gram_matrices(gradients * slopes[name])
        scale = _clipping(of_weights)
        scaled = scale.unsqueeze(0) * scale.unsqueeze(1)
        mix_weights, mix_scores = self._integration.coefficients(
            {name: gram * scaled for name, gram in of_weights.items()},
            {name: gram * scaled for name, gram in of_scores.items()},
            losses,
            generator,
        )
        for name, weight in self._weights.items():
            gradients = as_filters(self._gradients[name])
            weight.grad = combine(gradients, mix_weights[name] * scale).reshape(weight.shape)
            scores[name].grad = (combine(gradients, mix_scores[name] * scale) * slopes[name]).reshape(weight.shape)

    def _autocast(self, images: Tensor) -> torch.autocast:
        return torch.autocast(images.device.type, torch.bfloat16, enabled=self._bfloat16)


def _clipping(grams: Mapping[str, Tensor]) -> Tensor:
    """Factors [m] that bring the norm of each subnetwork's gradient to ``MAX_NORM`` at most; 1 for the dense one."""
    squared = torch.stack([gram.diagonal(dim1=1, dim2=2).sum(0) for gram in grams.values()]).sum(0)
    scale = (MAX_NORM / (squared.clamp(min=0).sqrt() + 1e-6)).clamp(max=1)
    scale[-1] = 1
    return scale
