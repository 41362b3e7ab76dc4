"""The losses: what they are, and whose parameters learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export.training._batches import Batch
from prunnet_export.training._matching import Matching
from prunnet_export.training._objectives import Classification
from tests._inputs import images

EMBEDDING = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
VECTORS = F.normalize(torch.randn(6, 5, generator=torch.Generator().manual_seed(1)), dim=1)
MEAN = torch.tensor([0.3, 0.1, 0.0, 0.2, -0.1])
BATCH = Batch(images(6, 8), torch.arange(6) % 3, VECTORS)


def classifier() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(5, 3)


def learned(head: nn.Linear, loss: Tensor) -> bool:
    head.zero_grad()
    torch.autograd.backward(loss)
    return head.weight.grad is not None


def test_classification_is_the_cross_entropy() -> None:
    head = classifier()
    loss = Classification(head)(EMBEDDING, BATCH, dense=True)
    assert loss.item() == pytest.approx(F.cross_entropy(head(EMBEDDING), BATCH.labels).item())


def test_only_the_dense_network_teaches_the_classifier() -> None:
    head, embedding = classifier(), EMBEDDING.clone().requires_grad_()
    for objective in (Classification(head), Matching(MEAN, head, label_weight=0.5)):
        assert learned(head, objective(embedding, BATCH, dense=True))
        assert not learned(head, objective(embedding, BATCH, dense=False))


def test_matching_is_the_centred_cosine_distance() -> None:
    loss = Matching(MEAN)(EMBEDDING, BATCH, dense=True)
    distances = []
    for q, g in zip(EMBEDDING, VECTORS, strict=True):
        a, b = q / q.norm() - MEAN, g - MEAN
        distances.append(1 - a @ b / (a.norm() * b.norm()))
    assert loss.item() == pytest.approx(float(torch.stack(distances).mean()), abs=1e-6)


def test_matching_is_zero_for_the_teachers_own_vectors_at_any_length() -> None:
    lengths = torch.linspace(0.1, 30, 6).unsqueeze(1)
    assert Matching(MEAN)(VECTORS * lengths, BATCH, dense=False).item() == pytest.approx(0, abs=1e-6)


def test_the_teachers_mean_for_every_image_is_not_a_good_answer() -> None:
    mean = VECTORS.mean(0)
    constant = mean.expand(6, 5) + 1e-4 * EMBEDDING
    assert Matching(mean)(constant, BATCH, dense=False).item() > 0.5


def test_labels_add_their_weighted_cross_entropy() -> None:
    head = classifier()
    with_labels = Matching(MEAN, head, label_weight=0.25)(EMBEDDING, BATCH, dense=True)
    expected = Matching(MEAN)(EMBEDDING, BATCH, dense=True) + 0.25 * F.cross_entropy(head(EMBEDDING), BATCH.labels)
    assert with_labels.item() == pytest.approx(expected.item())


def test_matching_without_vectors_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no vectors"):
        Matching(MEAN)(EMBEDDING, Batch(BATCH.images, BATCH.labels), dense=True)
