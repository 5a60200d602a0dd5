"""Margins of several classes against autograd and torch's own cross-entropy."""

import pytest
import torch
from torch.nn.functional import cross_entropy, softplus

from core.models.margin import hard_direction, hard_margin, soft_direction, soft_direction_pull_back, soft_margin


@pytest.fixture
def outputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [3, 6, 5] with a wide spread, and labels that are right for some."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(0, 5, (3, 6), generator=generator)


@pytest.mark.parametrize(("margin", "direction"), [(hard_margin, hard_direction), (soft_margin, soft_direction)])
def test_directions_are_the_slopes_of_the_margins(outputs, margin, direction):
    logits, labels = outputs
    (slope,) = torch.autograd.grad(margin(logits, labels).sum(), logits)
    assert torch.allclose(direction(logits, labels), slope, rtol=1e-12, atol=1e-14)


def test_cross_entropy_is_softplus_of_the_soft_margin(outputs):
    logits, labels = outputs
    expected = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    assert torch.allclose(softplus(-soft_margin(logits, labels)).flatten(), expected, rtol=1e-12)


def test_the_hard_margin_is_positive_where_the_label_wins(outputs):
    logits, labels = outputs
    assert torch.equal(hard_margin(logits, labels) > 0, logits.argmax(-1) == labels)
    assert ((hard_margin(logits, labels) - soft_margin(logits, labels)) >= 0).all()


def test_both_are_alike_where_one_rival_is_far_ahead():
    logits, labels = torch.tensor([[30.0, -5.0, 70.0, 2.0]], dtype=torch.float64), torch.tensor([2])
    assert torch.allclose(hard_direction(logits, labels), soft_direction(logits, labels), atol=1e-12)
    assert hard_margin(logits, labels).item() == 40.0


def test_soft_direction_pull_back_is_the_transposed_jacobian(outputs):
    logits, labels = outputs
    gradient = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = soft_direction(logits, labels)
    (expected,) = torch.autograd.grad((found * gradient).sum(), logits)
    assert torch.allclose(soft_direction_pull_back(found, labels, gradient), expected, rtol=1e-10, atol=1e-14)
