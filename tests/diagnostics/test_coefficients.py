import math

import pytest
import torch

from core.diagnostics.coefficients import coefficient_drift, loss_coefficients


def test_coefficients_are_the_gradient_of_the_mean_loss():
    logits = torch.tensor([-3.0, 0.0, 2.5, 0.7, -0.2], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 0, 1, 0, 0])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.double())
    (expected,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss_coefficients(logits, labels), expected, rtol=1e-14, atol=0)


def test_count_rescales_the_mean():
    logits, labels = torch.tensor([1.0, -1.0]), torch.tensor([0, 1])
    torch.testing.assert_close(loss_coefficients(logits, labels, count=1), 2 * loss_coefficients(logits, labels))


@pytest.mark.parametrize("label", [0, 1])
def test_a_well_fitted_sample_keeps_its_tiny_coefficient(label):
    """sigmoid(f) - 1 would round to 0 here; plain float32 already does at f = 17."""
    logit = torch.tensor([60.0 if label else -60.0])
    expected = (-1 if label else 1) * math.exp(-60) / (1 + math.exp(-60))
    assert loss_coefficients(logit, torch.tensor([label])).item() == pytest.approx(expected, rel=1e-12)


def test_drift_is_relative_to_the_start():
    drift = coefficient_drift(torch.tensor([-0.5, 0.2, 0.0]), torch.tensor([-0.25, 0.2, 0.1]))
    assert drift[:2].tolist() == [0.5, 0.0]
    assert drift[2].isnan()
