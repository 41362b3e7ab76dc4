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
from prunnet_export.training._integration import Rule, as_filters, integrate, orders

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


def accumulate_gradients(
    network: PrunableNetwork,
    classifier: nn.Linear,
    subnetworks: Sequence[Subnetwork],
    images: Tensor,
    labels: Tensor,
    *,
    rule: Rule,
    gamma: float,
    generator: torch.Generator,
) -> StepResult:
    """Write the integrated gradient of one batch into ``.grad`` of every parameter.

    Classifier, projector and norms learn from the dense loss alone; compatibility comes from sharing them.
    With G = dL/d(M * W) a weight's gradient is M * G and a score's is M * sign(S) * W * G (PrunNet, section 3).

    Args:
        network: In training mode. Its running statistics follow the dense pass alone.
        classifier: On the un-normalised embedding.
        subnetworks: Made from the current scores.
        images: float32 [b, 3, h, w] in 0..1.
        labels: int64 [b].
        rule: See :func:`integrate`.
        gamma: See :func:`integrate`.
        generator: For the order in which conflicts are resolved; the same on every rank.
    """
    weights = network.prunable_weights()
    tensors = network.tensors()
    losses: list[float] = []
    gradients: list[dict[str, Tensor]] = []
    for subnetwork in subnetworks:
        loss, of_weights = _subnetwork_gradients(
            subnetwork, classifier, images, labels, tensors=tensors, weights=weights
        )
        losses.append(loss)
        gradients.append(of_weights)
    dense_loss, dense = _dense_gradients(network, classifier, weights, images, labels)
    order = orders(len(subnetworks) + 1, generator)
    scores = network.scores()
    for name, weight in weights.items():
        stacked = as_filters([*(of_weights[name] for of_weights in gradients), dense[name]])
        slope = as_filters([scores[name].detach().sign() * weight.detach()])
        weight.grad = integrate(stacked, order, rule=rule, gamma=gamma).reshape(weight.shape)
        scores[name].grad = integrate(stacked * slope, order, rule=rule, gamma=gamma).reshape(weight.shape)
    norm = nn.utils.clip_grad_norm_([*network.parameters(), *classifier.parameters()], MAX_NORM)
    return StepResult(dense_loss, tuple(losses), float(norm))


def _subnetwork_gradients(
    subnetwork: Subnetwork,
    classifier: nn.Linear,
    images: Tensor,
    labels: Tensor,
    *,
    tensors: Mapping[str, Tensor],
    weights: Mapping[str, nn.Parameter],
) -> tuple[float, dict[str, Tensor]]:
    gathered = subnetwork.gather(tensors)
    leaves = {name: gathered[name].requires_grad_() for name in weights}
    # The gathered buffers are copies, so batch statistics are used and the dense running ones stay untouched.
    embedding = functional_call(subnetwork.structure.train(), gathered, (images,))
    loss = F.cross_entropy(F.linear(embedding, classifier.weight.detach(), _detached(classifier.bias)), labels)
    # At the dense shapes and zero where cut, before the norm: what a weight that is not there would do does not count.
    gradients = subnetwork.scatter(dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True)))
    total = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    scale = (MAX_NORM / (total + 1e-6)).clamp(max=1)
    return float(loss.detach()), {name: gradient * scale for name, gradient in gradients.items()}


def _dense_gradients(
    network: PrunableNetwork,
    classifier: nn.Linear,
    weights: Mapping[str, nn.Parameter],
    images: Tensor,
    labels: Tensor,
) -> tuple[float, dict[str, Tensor]]:
    loss = F.cross_entropy(classifier(network(images)), labels)
    scored = {id(weight) for weight in weights.values()}
    shared = [p for p in [*network.embedder.parameters(), *classifier.parameters()] if id(p) not in scored]
    computed = torch.autograd.grad(loss, [*weights.values(), *shared])
    for parameter, gradient in zip(shared, computed[len(weights) :], strict=True):
        parameter.grad = gradient
    return float(loss.detach()), dict(zip(weights, computed, strict=False))


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
