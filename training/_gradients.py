"""The gradients of the dense network and all subnetworks at the same parameters, integrated into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Subnetwork
from prunnet_export.training._batches import Batch
from prunnet_export.training._distributed import ALONE, Ranks
from prunnet_export.training._integration import Integration, as_filters, combine, gram_matrices
from prunnet_export.training._objectives import Objective

MAX_NORM = 100.0
_CONVOLUTION_RANK = 4
_PART = 2**20  # numbers; intermediate results of this size fit into a processor's cache


class IntegratedGradients:
    """Writes the integrated gradient of a batch into ``.grad`` of every parameter.

    The objective, the projector and norms learn only from the dense loss. All subnetworks share them, which makes the
    embeddings compatible. With G = dL/d(M * W) the gradient of a weight is M * G, and that of its score is
    M * sign(S) * W * G (PrunNet, section 3). Each weight has one buffer for the gradients of all networks, which is
    used again in the next step. Its last row, for the dense network, is also the weight's ``.grad``.

    Args:
        network: The network, in training mode. Only the dense pass changes its running statistics.
        objective: The loss of the un-normalised embedding.
        integration: The rule that makes one gradient out of all.
        distillation: Weight of 1 - cos(subnetwork's embedding, dense embedding) in a subnetwork's loss. Above 0 a step
            has one more forward pass of the dense network.
        ranks: The processes that train together. Their gradients are averaged before the integration.
        bfloat16: Use torch's autocast to bfloat16 in forward passes; parameters stay float32.
    """

    def __init__(
        self,
        network: PrunableNetwork,
        objective: Objective,
        integration: Integration,
        *,
        distillation: float = 0.0,
        ranks: Ranks = ALONE,
        bfloat16: bool = False,
    ) -> None:
        self._network, self._objective, self._integration = network, objective, integration
        self._distillation = distillation
        self._ranks, self._bfloat16, self._dtype = ranks, bfloat16, network.embedder.projector.weight.dtype
        self._weights, self._scores = network.prunable_weights(), network.scores()
        scored = {id(weight) for weight in self._weights.values()}
        embedder_and_objective = [*network.embedder.parameters(), *objective.parameters()]
        self._shared = [parameter for parameter in embedder_and_objective if id(parameter) not in scored]
        self._gradients: dict[str, Tensor] = {}

    def __call__(
        self, subnetworks: Sequence[Subnetwork], batches: Sequence[Batch], *, generator: torch.Generator
    ) -> list[float]:
        """Write the gradients of the mean loss over the batches.

        Args:
            subnetworks: The subnetworks of the current scores.
            batches: Micro-batches of equal size.
            generator: The integration's generator, with the same state on every rank.

        Returns:
            The mean loss of each subnetwork, without the distillation, and of the dense network last.
        """
        losses = self._accumulate(subnetworks, batches)
        self._ranks.average([losses, *self._gradients.values(), *(p.grad for p in self._shared if p.grad is not None)])
        self._integrate(losses, generator)
        return cast("list[float]", losses.tolist())

    def _accumulate(self, subnetworks: Sequence[Subnetwork], batches: Sequence[Batch]) -> Tensor:
        """Fill the buffers and the ``.grad`` of shared parameters; returns the mean losses [m], the dense one last."""
        count = len(subnetworks) + 1
        for name, weight in self._weights.items():
            if name not in self._gradients or len(self._gradients[name]) != count:
                self._gradients[name] = weight.new_empty(count, *weight.shape)
        tensors = self._network.tensors()
        targets = self._dense_embeddings(batches) if self._distillation and subnetworks else None
        losses = [self._run_subnetwork(one, tensors, batches, targets, row) for row, one in enumerate(subnetworks)]
        return torch.stack([*losses, self._run_dense(batches)])

    def _dense_embeddings(self, batches: Sequence[Batch]) -> list[Tensor]:
        """The dense embeddings of each batch, with the batch's own statistics. The running statistics do not change."""
        embedder = self._network.embedder
        copies = {name: buffer.clone() for name, buffer in embedder.named_buffers()}
        with torch.no_grad():
            return [self._run(lambda x: functional_call(embedder, copies, (x,)), batch.images) for batch in batches]

    def _run_subnetwork(
        self,
        subnetwork: Subnetwork,
        tensors: Mapping[str, Tensor],
        batches: Sequence[Batch],
        targets: Sequence[Tensor] | None,
        row: int,
    ) -> Tensor:
        # The dense network is run last, so its row of the buffers is free now.
        gathered = subnetwork.gather(tensors, {name: buffer[-1] for name, buffer in self._gradients.items()})
        leaves = {name: _leaf(gathered[name], weight) for name, weight in self._weights.items()}
        gathered.update(leaves)
        structure = subnetwork.structure.train()
        loss = self._backward(
            # The gathered buffers are copies, so this pass does not change the dense running statistics.
            lambda images: cast("Tensor", functional_call(structure, gathered, (images,))),
            batches,
            targets,
            dense=False,
        )
        computed = {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}
        subnetwork.scatter(computed, {name: buffer[row] for name, buffer in self._gradients.items()})
        return loss

    def _run_dense(self, batches: Sequence[Batch]) -> Tensor:
        for parameter in [*self._weights.values(), *self._shared]:
            parameter.grad = None
        loss = self._backward(self._network, batches, None, dense=True)
        for name, weight in self._weights.items():
            row = self._gradients[name][-1]
            # To accumulate the gradient in the row directly would read and write the row twice.
            weight.grad = row.zero_() if weight.grad is None else row.copy_(weight.grad)
        return loss

    def _backward(
        self,
        embed: Callable[[Tensor], Tensor],
        batches: Sequence[Batch],
        targets: Sequence[Tensor] | None,
        *,
        dense: bool,
    ) -> Tensor:
        """Add the gradients of the mean loss over the batches to ``.grad``; returns the mean without distillation."""
        total = torch.zeros((), dtype=self._dtype, device=batches[0].images.device)
        for index, batch in enumerate(batches):
            embedding = self._run(embed, batch.images)
            loss = self._objective(embedding, batch, dense=dense) / len(batches)
            total += loss.detach()
            if targets is not None:
                distance = 1 - F.cosine_similarity(embedding, targets[index])
                loss = loss + self._distillation * distance.mean() / len(batches)
            torch.autograd.backward(loss)
        return total

    def _run(self, module: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self._bfloat16):
            outputs = module(inputs)
        return outputs.to(self._dtype)

    def _integrate(self, losses: Tensor, generator: torch.Generator) -> None:
        weight_grams, score_grams, slopes = {}, {}, {}
        for name, weight in self._weights.items():
            score = self._scores[name]
            if score.grad is None:
                score.grad = torch.empty_like(score)
            # The slope sign(S) * W of the score uses the memory of its gradient.
            slopes[name] = torch.mul(score.detach().sign(), weight.detach(), out=score.grad)
            parts = self._filter_parts(name, slopes[name])
            grams = [(gram_matrices(part), gram_matrices(part * slope)) for _, part, slope in parts]
            weight_grams[name], score_grams[name] = map(torch.cat, zip(*grams, strict=True))
        scale = _clipping_factors(weight_grams)
        scaled = scale.unsqueeze(0) * scale.unsqueeze(1)
        mix_weights, mix_scores = self._integration.coefficients(
            {name: gram * scaled for name, gram in weight_grams.items()},
            {name: gram * scaled for name, gram in score_grams.items()},
            losses,
            generator,
        )
        for name in self._weights:
            of_weight, of_score = mix_weights[name] * scale, mix_scores[name] * scale
            for filters, part, slope in self._filter_parts(name, slopes[name]):
                slope.mul_(combine(part, of_score[filters]))  # the score's .grad
                part[-1] = combine(part, of_weight[filters])  # the dense row, which is the weight's .grad

    def _filter_parts(self, name: str, slopes: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Parts of one weight: a slice of its filters, with views of their gradients [m, k, d] and slopes [k, d]."""
        gradients = as_filters(self._gradients[name])
        slopes = slopes.view(gradients.shape[1:])
        count = max(1, _PART // gradients[:, 0].numel())
        for first in range(0, len(slopes), count):
            filters = slice(first, first + count)
            yield filters, gradients[:, filters], slopes[filters]


def _leaf(gathered: Tensor, dense: Tensor) -> Tensor:
    if gathered.ndim == _CONVOLUTION_RANK and gathered.shape != dense.shape:
        # In this layout oneDNN is a fifth faster for uneven widths, but not for the dense ones.
        gathered = gathered.contiguous(memory_format=torch.channels_last)
    return gathered.detach().requires_grad_()


def _clipping_factors(grams: Mapping[str, Tensor]) -> Tensor:
    """Factors [m] that limit the norm of each subnetwork's gradient to ``MAX_NORM``; 1 for the dense network."""
    squared = torch.stack([gram.diagonal(dim1=1, dim2=2).sum(0) for gram in grams.values()]).sum(0)
    scale = (MAX_NORM / (squared.clamp(min=0).sqrt() + 1e-6)).clamp(max=1)
    scale[-1] = 1
    return scale
