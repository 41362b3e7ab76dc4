"""One step's gradients equal autograd's on an explicitly masked network."""

from __future__ import annotations

from copy import deepcopy
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Subnetwork, find_pattern
from prunnet_export.training import _gradients
from prunnet_export.training._batches import Batch
from prunnet_export.training._gradients import IntegratedGradients
from prunnet_export.training._integration import ConflictAware, as_filters, orders
from prunnet_export.training._objectives import Classification
from prunnet_export.training._recipe import Rule
from tests._asserts import assert_same_tensors
from tests._gradients import integrate
from tests._inputs import images, prunable, tiny_resnet

CLASSES = 4
# In double precision a difference is a wrong formula and not a rounding.
IMAGES = images(8, 32).double()
LABELS = torch.arange(8) % CLASSES
Gradients = dict[str, Tensor]
RULES = get_args(Rule)


def classifier() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(8, CLASSES).double()


def subnetworks(network: PrunableNetwork, pattern: str, capacities: tuple[float, ...]) -> list[Subnetwork]:
    return find_pattern(pattern, 2).subnetworks(network, capacities)


def step(network: PrunableNetwork, head: nn.Linear, chosen: list[Subnetwork], **options: object) -> list[float]:
    integration = ConflictAware(options.get("rule", "sum"), 0.5)  # type: ignore[arg-type]  # one of RULES
    batches = [Batch(IMAGES, LABELS)] if options.get("batches") is None else options["batches"]
    return IntegratedGradients(network, Classification(head), integration)(
        chosen,
        batches,  # type: ignore[arg-type]  # batches
        generator=torch.Generator().manual_seed(0),
    )


def dense_gradients(network: PrunableNetwork, head: nn.Linear) -> tuple[float, Gradients]:
    """Plain autograd of the dense loss, for every parameter of the embedder and the classifier."""
    embedder, head = deepcopy(network.embedder).train(), deepcopy(head)
    loss = F.cross_entropy(head(embedder(IMAGES)), LABELS)
    torch.autograd.backward(loss)
    named = [*embedder.named_parameters(), *((f"head.{n}", p) for n, p in head.named_parameters())]
    return loss.item(), {name: p.grad for name, p in named if p.grad is not None}


def masked_gradients(
    network: PrunableNetwork, head: nn.Linear, masks: dict[str, Tensor], part: slice = slice(None)
) -> tuple[float, Gradients, Gradients]:
    """Loss and gradients of W and S through effective = W * (M + S' - S'.detach()), S' = M |S|.

    The mask is straight-through: dL/dW = M G, and dL/dS = M sign(S) W G.
    """
    tensors = {name: tensor.clone() for name, tensor in network.tensors().items()}
    weights = {name: w.detach().clone().requires_grad_() for name, w in network.prunable_weights().items()}
    scores = {name: s.detach().clone().requires_grad_() for name, s in network.scores().items()}
    for name, mask in masks.items():
        slope = mask * scores[name].abs()
        tensors[name] = weights[name] * (mask + slope - slope.detach())
    embedding = functional_call(deepcopy(network.embedder).train(), tensors, (IMAGES[part],))
    loss = F.cross_entropy(head(embedding), LABELS[part])
    torch.autograd.backward(loss)
    return (
        loss.item(),
        {name: w.grad for name, w in weights.items() if w.grad is not None},
        {name: s.grad for name, s in scores.items() if s.grad is not None},
    )


def grads(named: dict[str, nn.Parameter]) -> Gradients:
    return {name: p.grad.clone() for name, p in named.items() if p.grad is not None}


def assert_gradients(actual: Gradients, expected: Gradients) -> None:
    """Equal relative to the largest gradient of each tensor."""
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        size = float(gradient.abs().max())
        torch.testing.assert_close(actual[name], gradient, rtol=0, atol=1e-8 * size + 1e-15, msg=name)


@pytest.fixture
def network() -> PrunableNetwork:
    return tiny_resnet().double().train()


@pytest.mark.parametrize("capacity", [0.7, 0.3])
def test_unstructured_equals_autograd_through_the_masks(network: PrunableNetwork, capacity: float) -> None:
    head = classifier()
    chosen = subnetworks(network, "unstructured", (capacity,))
    masks = chosen[0].masks()
    ones = {name: torch.ones_like(mask) for name, mask in masks.items()}
    sub_loss, sub_w, sub_s = masked_gradients(network, head, masks)
    dense_loss, dense_w, dense_s = masked_gradients(network, head, ones)
    result = step(network, head, chosen)
    assert result[:-1] == pytest.approx([sub_loss], rel=1e-9)
    assert result[-1] == pytest.approx(dense_loss, rel=1e-9)
    assert_gradients(grads(network.prunable_weights()), {n: sub_w[n] + dense_w[n] for n in sub_w})
    assert_gradients(grads(network.scores()), {n: sub_s[n] + dense_s[n] for n in sub_s})


@pytest.mark.parametrize("rule", RULES)
def test_integrates_weights_and_scores_each_on_their_own(network: PrunableNetwork, rule: str) -> None:
    head = classifier()
    chosen = subnetworks(network, "unstructured", (0.7, 0.3))
    ones = {name: torch.ones_like(mask) for name, mask in chosen[0].masks().items()}
    parts = [masked_gradients(network, head, masks) for masks in (*(s.masks() for s in chosen), ones)]
    step(network, head, chosen, rule=rule)
    order = orders(3, torch.Generator().manual_seed(0))
    for which, named in ((1, network.prunable_weights()), (2, network.scores())):
        expected = {
            name: integrate(
                as_filters(torch.stack([part[which][name] for part in parts])),  # type: ignore[index]  # 1 and 2 are gradients
                order,
                rule=rule,  # type: ignore[arg-type]  # one of RULES
                gamma=0.5,
            ).reshape(parameter.shape)
            for name, parameter in named.items()
        }
        assert_gradients(grads(named), expected)


def test_channel_gradients_are_those_of_the_small_network_in_place(network: PrunableNetwork) -> None:
    head = classifier()
    [chosen] = subnetworks(network, "channel", (0.4,))
    gathered = {name: tensor.detach() for name, tensor in chosen.gather(network.tensors()).items()}
    small = {name: gathered[name].requires_grad_() for name in network.prunable_weights()}
    embedding = functional_call(deepcopy(chosen.structure).train(), gathered, (IMAGES,))
    loss = F.cross_entropy(head(embedding), LABELS)
    of_small = dict(zip(small, torch.autograd.grad(loss, list(small.values())), strict=True))
    of_dense = dense_gradients(network, head)[1]
    result = step(network, head, [chosen])
    assert result[:-1] == pytest.approx([loss.item()], rel=1e-9)
    masks, scores = chosen.masks(), network.scores()
    expected_w, expected_s = {}, {}
    for name, weight in network.prunable_weights().items():
        full = torch.zeros_like(weight)
        full[masks[name]] = of_small[name].flatten()  # kept entries come in the same order
        expected_w[name] = full + of_dense[name]
        expected_s[name] = expected_w[name] * scores[name].detach().sign() * weight.detach()
    assert_gradients(grads(network.prunable_weights()), expected_w)
    assert_gradients(grads(scores), expected_s)


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
@pytest.mark.parametrize("rule", RULES)
def test_shared_parameters_learn_from_the_dense_loss_alone(network: PrunableNetwork, pattern: str, rule: str) -> None:
    head = classifier()
    expected = dense_gradients(network, head)[1]
    step(network, head, subnetworks(network, pattern, (0.6, 0.3)), rule=rule)
    scored = network.prunable_weights()
    shared = {n: p for n, p in network.embedder.named_parameters() if n not in scored}
    shared |= {f"head.{name}": p for name, p in head.named_parameters()}
    assert {"projector.weight", "norm.bias", "backbone.bn1.weight", "head.weight"} <= shared.keys()
    assert_gradients(grads(shared), {name: expected[name] for name in shared})


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_running_statistics_follow_the_dense_pass_alone(network: PrunableNetwork, pattern: str) -> None:
    expected = deepcopy(network.embedder).train()
    expected(IMAGES)
    step(network, classifier(), subnetworks(network, pattern, (1.0, 0.5, 0.3)))
    assert_same_tensors(dict(network.embedder.named_buffers()), dict(expected.named_buffers()))


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_parameters_stay_until_the_optimizer_steps(network: PrunableNetwork, pattern: str) -> None:
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    step(network, classifier(), subnetworks(network, pattern, (1.0, 0.5)))
    assert_same_tensors({name: p.detach() for name, p in network.named_parameters()}, before)
    assert all(p.grad is not None for p in network.parameters())
    assert network.training


def test_a_pruned_weight_moves_through_larger_networks_only(network: PrunableNetwork) -> None:
    head = classifier()
    expected = dense_gradients(network, head)[1]
    [chosen] = subnetworks(network, "unstructured", (0.4,))
    step(network, head, [chosen])
    for name, mask in chosen.masks().items():
        gradient = network.prunable_weights()[name].grad
        assert gradient is not None
        size = float(expected[name].abs().max())
        torch.testing.assert_close(gradient[~mask], expected[name][~mask], rtol=0, atol=1e-8 * size)


def test_a_subnetwork_of_all_weights_is_the_dense_network_again(network: PrunableNetwork) -> None:
    head = classifier()
    expected = dense_gradients(network, head)[1]
    result = step(network, head, subnetworks(network, "unstructured", (1.0,)))
    assert result[:-1] == pytest.approx([result[-1]], rel=1e-9)
    weights = network.prunable_weights()
    assert_gradients(grads(weights), {name: 2 * expected[name] for name in weights})


def test_without_subnetworks_it_is_plain_training(network: PrunableNetwork) -> None:
    head = classifier()
    loss, expected = dense_gradients(network, head)
    result = step(network, head, [], rule="progressive")
    assert result[-1] == pytest.approx(loss)
    assert len(result) == 1
    named = dict(network.embedder.named_parameters())
    assert_gradients(grads(named), {name: expected[name] for name in named})


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_same_inputs_same_bits(pattern: str) -> None:
    found = []
    for _ in range(2):
        network, head = tiny_resnet().double().train(), classifier()
        step(network, head, subnetworks(network, pattern, (0.6, 0.3)), rule="progressive")
        found.append(grads(dict(network.named_parameters())))
    assert_same_tensors(found[0], found[1])


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_a_transformer_takes_a_step(pattern: str) -> None:
    network = prunable("vit_tiny_patch16_224", crop=32, dim=8).double().train()
    result = step(network, classifier(), subnetworks(network, pattern, (0.5,)), rule="progressive")
    assert torch.isfinite(torch.tensor(result)).all()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all())


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_accumulating_is_the_mean_over_micro_batches(
    network: PrunableNetwork, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gradients, "MAX_NORM", 1e9)  # clipping is not linear
    head = classifier()
    batches = [Batch(IMAGES[:4], LABELS[:4]), Batch(IMAGES[4:], LABELS[4:])]
    chosen = subnetworks(network, pattern, (0.6, 0.3))
    alone: list[tuple[list[float], Gradients]] = []
    for batch in batches:
        result = step(network, head, chosen, batches=[batch])
        alone.append((result, grads({**dict(network.named_parameters()), **dict(head.named_parameters())})))
    (first, of_first), (second, of_second) = alone
    result = step(network, head, chosen, batches=batches)
    assert result == pytest.approx([(a + b) / 2 for a, b in zip(first, second, strict=True)], rel=1e-9)
    found = grads({**dict(network.named_parameters()), **dict(head.named_parameters())})
    assert_gradients(found, {name: (of_first[name] + of_second[name]) / 2 for name in found})


@pytest.mark.parametrize("rule", RULES)
def test_gradients_are_accumulated_before_they_are_integrated(network: PrunableNetwork, rule: str) -> None:
    head = classifier()
    parts = []
    for half in (slice(0, 4), slice(4, 8)):
        masks = [chosen.masks() for chosen in subnetworks(network, "unstructured", (0.7, 0.3))]
        masks.append({name: torch.ones_like(mask) for name, mask in masks[0].items()})
        parts.append([masked_gradients(network, head, mask, half)[1] for mask in masks])
    step(
        network,
        head,
        subnetworks(network, "unstructured", (0.7, 0.3)),
        rule=rule,
        batches=[Batch(IMAGES[:4], LABELS[:4]), Batch(IMAGES[4:], LABELS[4:])],
    )
    order = orders(3, torch.Generator().manual_seed(0))
    weights = network.prunable_weights()
    expected = {
        name: integrate(
            as_filters(torch.stack([(a[name] + b[name]) / 2 for a, b in zip(*parts, strict=True)])),
            order,
            rule=rule,  # type: ignore[arg-type]  # one of RULES
            gamma=0.5,
        ).reshape(weight.shape)
        for name, weight in weights.items()
    }
    assert_gradients(grads(weights), expected)


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_bfloat16_is_near_and_its_gradients_are_float32(pattern: str) -> None:
    batch = Batch(images(32, 32), torch.arange(32) % CLASSES)
    found = []
    for bfloat16 in (False, True):
        network, head = tiny_resnet().train(), classifier().float()
        gradient_step = IntegratedGradients(
            network, Classification(head, bfloat16=bfloat16), ConflictAware("sum", 0.5), bfloat16=bfloat16
        )
        result = gradient_step(subnetworks(network, pattern, (0.6,)), [batch], generator=torch.Generator())
        found.append((result, grads(dict(network.named_parameters()))))
    (wide, of_wide), (narrow, of_narrow) = found
    assert narrow[-1] != wide[-1]
    assert narrow[-1] == pytest.approx(wide[-1], rel=0.05)
    flat = [torch.cat([gradient.flatten() for gradient in gradients.values()]) for gradients in (of_wide, of_narrow)]
    assert flat[1].dtype == torch.float32
    assert bool(flat[1].isfinite().all())
    assert float(F.cosine_similarity(flat[0], flat[1], dim=0)) > 0.9


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_micro_batches_give_the_mean_of_their_gradients(network: PrunableNetwork, pattern: str) -> None:
    head = classifier()
    with torch.no_grad():
        head.weight.mul_(1e-3)  # nothing is clipped
    chosen = subnetworks(network, pattern, (0.6, 0.3))
    halves = [Batch(IMAGES[:4], LABELS[:4]), Batch(IMAGES[4:], LABELS[4:])]
    named = dict(network.named_parameters())
    alone, losses = [], []
    for half in halves:
        losses.append(step(network, head, chosen, batches=[half]))
        alone.append(grads(named))
    result = step(network, head, chosen, batches=halves)
    assert result == pytest.approx([sum(pair) / 2 for pair in zip(*losses, strict=True)])
    assert_gradients(grads(named), {name: (alone[0][name] + alone[1][name]) / 2 for name in named})


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_a_step_does_not_depend_on_the_one_before(network: PrunableNetwork, pattern: str) -> None:
    head = classifier()
    wide, narrow = subnetworks(network, pattern, (0.6, 0.3))
    named = dict(network.named_parameters())
    gradients = IntegratedGradients(network, Classification(head), ConflictAware("progressive", 0.5))
    for chosen in ([wide], [wide, narrow], [narrow, narrow]):
        gradients(chosen, [Batch(IMAGES, LABELS)], generator=torch.Generator().manual_seed(0))
        again = grads(named)
        step(network, head, chosen, rule="progressive")
        assert_same_tensors(again, grads(named))


def test_how_many_filters_are_integrated_at_a_time_does_not_matter(
    network: PrunableNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, named = classifier(), dict(network.named_parameters())
    chosen = subnetworks(network, "unstructured", (0.6, 0.3))
    step(network, head, chosen, rule="progressive")
    at_once = grads(named)
    monkeypatch.setattr(
        "prunnet_export.training._gradients._PART", 3 * 3 * 9 * 8
    )  # three filters, and what is left over
    step(network, head, chosen, rule="progressive")
    assert_gradients(grads(named), at_once)


def test_distillation_adds_the_distance_to_the_dense_embedding(network: PrunableNetwork) -> None:
    head = classifier()
    [chosen] = subnetworks(network, "channel", (0.4,))
    gathered = {name: tensor.detach() for name, tensor in chosen.gather(network.tensors()).items()}
    small = {name: gathered[name].requires_grad_() for name in network.prunable_weights()}
    embedding = functional_call(deepcopy(chosen.structure).train(), gathered, (IMAGES,))
    with torch.no_grad():
        target = deepcopy(network.embedder).train()(IMAGES)
    cosines = (F.normalize(embedding) * F.normalize(target)).sum(1)
    loss = F.cross_entropy(head(embedding), LABELS)
    of_small = torch.autograd.grad(loss + 3 * (1 - cosines).mean(), list(small.values()))
    of_dense = dense_gradients(network, head)[1]
    running = {name: buffer.clone() for name, buffer in network.named_buffers()}
    gradients = IntegratedGradients(network, Classification(head), ConflictAware("sum", 0.5), distillation=3)
    result = gradients([chosen], [Batch(IMAGES, LABELS)], generator=torch.Generator())
    assert result[:-1] == pytest.approx([loss.item()], rel=1e-9)  # cross-entropy, to compare runs by
    expected = {}
    for (name, mask), gradient in zip(chosen.masks().items(), of_small, strict=True):
        full = torch.zeros_like(of_dense[name])
        full[mask] = gradient.flatten()
        expected[name] = full + of_dense[name]
    assert_gradients(grads(network.prunable_weights()), expected)
    tracked = [buffer for name, buffer in network.named_buffers() if name.endswith("num_batches_tracked")]
    before = [buffer for name, buffer in running.items() if name.endswith("num_batches_tracked")]
    assert [int(now - then) for now, then in zip(tracked, before, strict=True)] == [1] * len(tracked)
