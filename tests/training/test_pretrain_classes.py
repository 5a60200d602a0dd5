"""Training of networks with several outputs, and with weight decay."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from core.diagnostics.decay import decay
from core.io.errors import InputError
from core.models.mlp import MLP
from core.training.autograd_batch import AutogradBatch
from core.training.full_batch import FullBatch
from core.training.losses import log_loss_pull, log_mean_loss
from core.training.max_margin import log_norm, scale_to, slope_push
from core.training.pretrain import pretrain


def random_network(outputs: int, samples: int = 9) -> tuple[MLP, torch.Tensor, torch.Tensor]:
    """Float64, every sample on the side of its label."""
    generator = torch.Generator().manual_seed(4)
    network = MLP([16, 12, 9, outputs], image_shape=(1, 4, 4)).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.5, generator=generator)
    x = torch.rand(samples, 1, 4, 4, generator=generator, dtype=torch.float64)
    logits = network(x)
    return network, x, (logits > 0).long() if outputs == 1 else logits.argmax(1)


def parameters_of(network: MLP) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def mean_loss(network: MLP, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (cross_entropy(network(x), labels) if network.outputs > 1 else
            binary_cross_entropy_with_logits(network(x), labels.double()))


@pytest.mark.parametrize("outputs", [2, 5])
@pytest.mark.parametrize("kind", [FullBatch, AutogradBatch])
def test_gradient_of_several_outputs_against_autograd(kind, outputs):
    network, x, labels = random_network(outputs)
    labels = labels.roll(1)  # some of them wrong
    network.requires_grad_()
    expected = torch.autograd.grad(mean_loss(network, x, labels).log(), list(network.parameters()))
    batch, parameters = kind(network, x, labels), parameters_of(network)
    at = batch.evaluate(parameters)
    assert at.log_loss == pytest.approx(mean_loss(network, x, labels).log().item(), rel=1e-12)
    found = batch.gradient(parameters, at, at.scores.push(log_loss_pull(at.scores.margins)))
    assert torch.allclose(flat(found), flat(list(expected)), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("level", [-1.0, -40.0])
def test_descent_of_the_norm_with_several_classes(level):
    network, x, labels = random_network(5)
    batch, parameters = FullBatch(network, x, labels), parameters_of(network)
    at = batch.evaluate(parameters)
    factor = scale_to(level, at.scores, 3)
    there = batch.evaluate([factor * parameter for parameter in parameters])
    assert there.log_loss == pytest.approx(level, rel=1e-9)
    slope = flat(batch.gradient(parameters, at, slope_push(at.scores, level, 3))) \
        + flat(parameters) / flat(parameters).square().sum()
    assert abs(slope @ flat(parameters)) < 1e-12 * slope.norm() * flat(parameters).norm()
    direction = torch.randn(len(slope), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends, sizes = [], [parameter.numel() for parameter in parameters]
    for step in (1e-6, -1e-6):
        parts = (flat(parameters) + step * direction).split(sizes)
        moved = [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]
        ends.append(log_norm(moved, batch.evaluate(moved).scores, level, 3))
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx((slope @ direction).item(), rel=1e-5)


def test_max_margin_of_three_classes_ends_near_a_kkt_point():
    network, x, labels = random_network(3, samples=12)
    outcome = pretrain(network, x, labels, optimizer="max-margin", learning_rate=0.01, epochs=3000,
                       target_log_loss=-20.0, record_every=100)
    assert outcome.train_error == 0.0
    assert log_mean_loss(FullBatch(network, x, labels).evaluate(parameters_of(network)).scores.margins).item() \
        == pytest.approx(-20.0, rel=1e-8)
    assert outcome.stationarity.residual < 0.1
    assert outcome.stationarity.residual <= outcome.decay.residual + 1e-9
    assert outcome.stationarity.multipliers.shape == (12, 2)


@pytest.mark.parametrize("outputs", [1, 4])
def test_gd_with_weight_decay_is_torchs_own(outputs):
    network, x, labels = random_network(outputs)
    reference, _, _ = random_network(outputs)
    reference.requires_grad_()
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.05, weight_decay=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        mean_loss(reference, x, labels).backward()
        optimizer.step()
    pretrain(network, x, labels, optimizer="gd", learning_rate=0.05, epochs=20, target_log_loss=-50.0, record_every=10,
             weight_decay=0.1)
    assert torch.allclose(flat(parameters_of(network)), flat(parameters_of(reference)), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("outputs", [1, 4])
def test_log_gd_with_weight_decay_ends_where_the_sum_is_stationary(outputs):
    network, x, labels = random_network(outputs)
    outcome = pretrain(network, x, labels, optimizer="log-gd", learning_rate=0.01, epochs=6000, target_log_loss=-50.0,
                       record_every=1000, weight_decay=1e-2)
    network.requires_grad_()
    slopes = torch.autograd.grad(mean_loss(network, x, labels), list(network.parameters()))
    theta = flat(parameters_of(network))
    assert (theta + flat(list(slopes)) / 1e-2).norm() < 0.05 * theta.norm()
    assert outcome.decay.weight_decay == pytest.approx(1e-2, rel=0.05)
    assert outcome.decay.residual < 0.05
    assert outcome.stationarity.residual <= outcome.decay.residual + 1e-6


def test_decay_of_known_weights():
    weights = [torch.tensor([3.0, 4.0])]
    assert decay(weights, [torch.tensor([-6.0, -8.0])], math.log(0.5)).weight_decay == pytest.approx(1.0)
    assert decay(weights, [torch.tensor([-6.0, -8.0])], 0.0).residual == pytest.approx(0.0, abs=1e-7)
    assert decay(weights, [torch.tensor([4.0, -3.0])], 0.0).residual == 1.0
    assert math.isnan(decay(weights, [torch.zeros(2)], 0.0).residual)


def test_max_margin_refuses_weight_decay():
    network, x, labels = random_network(1)
    with pytest.raises(InputError, match="weight_decay: max-margin is itself"):
        pretrain(network, x, labels, optimizer="max-margin", learning_rate=0.01, epochs=5, target_log_loss=-20.0,
                 record_every=1, weight_decay=0.1)
