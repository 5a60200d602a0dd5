"""The log-domain loss against 60-digit decimal arithmetic."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from core.models.margin import signs
from core.training.losses import Scores, log_loss_pull, log_mean_loss, log_sample_loss

MARGINS = [-400.0, -30.0, -1.0, 0.0, 0.5, 3.0, 11.999, 12.0, 12.001, 13.5, 40.0, 73.0, 88.0, 104.0, 250.0, 500.0]


def exact(margin: float) -> tuple[Decimal, Decimal]:
    """log softplus(-m) and its derivative -sigmoid(-m) / softplus(-m)."""
    u = (-Decimal(margin)).exp()
    loss = (1 + u).ln()
    return loss.ln(), -(u / (1 + u)) / loss


@pytest.fixture
def precise():
    with localcontext() as context:
        context.prec = 300  # 1 + exp(-500) needs 218 digits
        yield


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-7), (torch.float64, 1e-14)])
@pytest.mark.parametrize("margin", MARGINS)
def test_one_sample_against_decimals(margin, dtype, tolerance, precise):
    stored = torch.tensor([margin], dtype=dtype, requires_grad=True)
    value, slope = exact(stored.item())
    loss = log_sample_loss(stored)
    loss.sum().backward()
    assert loss.item() == pytest.approx(float(value), rel=tolerance, abs=tolerance)
    assert stored.grad.item() == pytest.approx(float(slope), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0.0, 20.0, 80.0, 100.0, 480.0])
def test_mean_and_pull_far_below_the_smallest_float(shift, dtype, precise):
    tolerance = 2 * torch.finfo(dtype).eps * (10 + shift)  # exponents are rounded relative to their own size
    margins = (torch.tensor([0.0, 0.25, 1.0, 7.0, 19.0], dtype=dtype) + shift).requires_grad_()
    log_mean = log_mean_loss(margins)
    log_mean.backward()
    samples = [exact(margin) for margin in margins.tolist()]
    total = sum(value.exp() for value, _ in samples)
    assert log_mean.item() == pytest.approx(float((total / len(samples)).ln()), rel=tolerance)
    expected = [float(value.exp() * -slope / total) for value, slope in samples]
    assert log_loss_pull(margins.detach()).tolist() == pytest.approx(expected, rel=tolerance)
    assert (-margins.grad).tolist() == pytest.approx(expected, rel=tolerance)


def test_is_the_log_of_binary_cross_entropy():
    logits = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    labels = (torch.arange(40) % 3 == 0).long()
    plain = binary_cross_entropy_with_logits(logits, labels.double())
    assert log_mean_loss(signs(labels) * logits).item() == pytest.approx(plain.log().item(), rel=1e-13)


def test_a_nan_margin_is_not_hidden():
    assert log_mean_loss(torch.tensor([1.0, float("nan"), 20.0])).isnan()


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_several_classes_are_torchs_cross_entropy_and_its_slope(size):
    generator = torch.Generator().manual_seed(3)
    logits = size * torch.randn(7, 4, generator=generator, dtype=torch.float64)
    labels = torch.arange(7) % 4
    logits.requires_grad_()
    loss = torch.nn.functional.cross_entropy(logits, labels)
    (slope,) = torch.autograd.grad(loss, logits)
    scores = Scores(logits.detach(), labels)
    assert log_mean_loss(scores.margins).item() == pytest.approx(loss.log().item(), rel=1e-10)
    push = scores.push(log_loss_pull(scores.margins))
    assert torch.allclose(-push * loss.detach(), slope, rtol=1e-9, atol=1e-13)
    assert torch.equal(scores.lead > 0, logits.argmax(1) == labels)


def test_several_classes_far_below_the_smallest_float():
    logits, labels = torch.tensor([[900.0, 0.0, 0.0], [5.0, 905.0, 4.0]], dtype=torch.float64), torch.tensor([0, 1])
    tail = [900 - math.log(2), 900 - math.log(1 + math.exp(-1))]
    scores = Scores(logits, labels)
    assert log_mean_loss(scores.margins).item() == pytest.approx(
        math.log(sum(math.exp(900 - value) for value in tail) / 2) - 900, rel=1e-12)
    assert log_loss_pull(scores.margins).sum().item() == pytest.approx(1.0)
