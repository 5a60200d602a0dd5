"""The KKT residual against explicit per-sample gradients and SciPy's NNLS."""

import math
import time

import pytest
import torch
from scipy.optimize import nnls

from core.diagnostics import stationarity as stationarity_module
from core.diagnostics.stationarity import nonnegative_least_squares, stationarity
from core.models.mlp import MLP, init_small_first_layer


def explicit(network: MLP, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """theta [P] and the matrix [P, N] of y_i grad f_i, by autograd, one sample at a time."""
    parameters = [parameter.requires_grad_() for parameter in network.parameters()]
    columns = []
    for image, label in zip(x, labels.tolist(), strict=True):
        gradients = torch.autograd.grad(network(image[None]).sum(), parameters)
        columns.append((2 * label - 1) * torch.cat([gradient.flatten() for gradient in gradients]))
    theta = torch.cat([parameter.detach().flatten() for parameter in parameters])
    network.requires_grad_(False)
    return theta, torch.stack(columns, 1)


def assert_matches_explicit(network: MLP, x: torch.Tensor, labels: torch.Tensor) -> None:
    theta, gradients = explicit(network, x, labels)
    lam, distance = nnls(gradients.numpy(), theta.numpy())
    measured = stationarity(network, x, labels)
    assert measured.residual == pytest.approx(distance / theta.norm().item(), rel=1e-6)
    difference = theta - gradients @ measured.multipliers
    begin = 0
    for index, layer in enumerate(network.layers):
        size = sum(parameter.numel() for parameter in layer.parameters())
        part = slice(begin, begin + size)
        expected = (difference[part].norm() / theta[part].norm()).item()
        assert measured.layer_residuals[f"layers.{index}"] == pytest.approx(expected, rel=1e-6)
        parallel = torch.cosine_similarity(theta[part], (gradients @ measured.multipliers)[part], dim=0).item()
        assert measured.alignments[f"layers.{index}"] == pytest.approx(parallel, rel=1e-6, abs=1e-9)
        begin += size
    margins = (2 * labels - 1) * network(x)
    assert measured.margin == pytest.approx((margins.min() / theta.norm() ** len(network.layers)).item(), rel=1e-9)
    assert measured.median_margin == pytest.approx((margins.median() / theta.norm() ** len(network.layers)).item())
    assert set(measured.active.tolist()) == set((lam > 1e-6 * lam.max()).nonzero()[0].tolist())


@pytest.mark.parametrize(("widths", "biases"), [
    ([16, 12, 9, 1], None), ([16, 12, 9, 1], [True, True, True]), ([16, 12, 1], [False, False])])
def test_random_networks(widths, biases):
    generator = torch.Generator().manual_seed(5)
    network = MLP(widths, image_shape=(1, 4, 4), biases=biases).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.5, generator=generator)
    network.input_mean.uniform_(0, 1, generator=generator)
    x = torch.rand(30, 1, 4, 4, generator=generator, dtype=torch.float64)
    assert_matches_explicit(network, x, torch.arange(30) % 2)


def test_a_trained_network(tiny_network, problem, trained_indices):
    images, labels = problem.images(trained_indices).double(), problem.labels[trained_indices]
    assert_matches_explicit(tiny_network, images, labels)
    trained = stationarity(tiny_network, images, labels).residual
    fresh = MLP([784, 64, 64, 1]).double().requires_grad_(False)
    init_small_first_layer(fresh, scale=1e-4, generator=torch.Generator().manual_seed(0))
    assert trained < 0.8 < 0.99 < stationarity(fresh, images, labels).residual


def test_zero_at_a_kkt_point():
    # f(x) = relu(w.x) with one sample x: theta = (w, v) = (x, |x|)/c is parallel to its own gradient.
    network = MLP([4, 1, 1], image_shape=(1, 2, 2), biases=[False, False]).double().requires_grad_(False)
    x = torch.tensor([0.2, 0.9, 0.1, 0.5], dtype=torch.float64)
    network.layers[0].weight.copy_(x[None])
    network.layers[1].weight.copy_(x.norm()[None, None])
    measured = stationarity(network, x.reshape(1, 1, 2, 2), torch.tensor([1]))
    assert measured.residual < 1e-7
    assert list(measured.alignments.values()) == pytest.approx([1.0, 1.0])
    assert measured.multipliers.tolist() == pytest.approx([1 / x.norm().item()], rel=1e-6)
    assert stationarity(network, x.reshape(1, 1, 2, 2), torch.tensor([0])).residual == pytest.approx(1.0)


@pytest.mark.parametrize("rounds", [stationarity_module.MOST_ROUNDS, 0])  # 0: straight to the fallback
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("rows", "columns"), [(40, 12), (12, 40), (200, 120)])
def test_least_squares_against_scipy(rows, columns, seed, rounds, monkeypatch):
    monkeypatch.setattr(stationarity_module, "MOST_ROUNDS", rounds)
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    matrix[:, 1] = matrix[:, 0]  # the same sample twice
    target = torch.randn(rows, generator=generator, dtype=torch.float64) + matrix[:, :3].sum(1)
    _, distance = nnls(matrix.numpy(), target.numpy())
    start = torch.rand(columns, generator=generator) - 0.5
    for begin in (None, start):
        lam = nonnegative_least_squares(matrix.T @ matrix, matrix.T @ target, start=begin)
        assert (lam >= 0).all()
        assert (target - matrix @ lam).norm().item() == pytest.approx(distance, rel=1e-6, abs=1e-6)


def test_exploded_weights_give_nan_not_an_exception(tiny_network, problem, trained_indices):
    network = tiny_network.float()
    network.layers[1].weight.mul_(1e30)
    network.layers[2].weight.mul_(1e30)
    images = problem.images(trained_indices)
    assert math.isnan(stationarity(network, images, problem.labels[trained_indices]).residual)


def test_five_hundred_samples_take_under_a_second(problem):
    indices = problem.select_training(250)
    network = MLP([784, 256, 256, 1]).requires_grad_(False)
    began = time.process_time()
    stationarity(network, problem.images(indices), problem.labels[indices])
    assert time.process_time() - began < 1.0


def test_several_classes_against_explicit_gradients():
    generator = torch.Generator().manual_seed(6)
    network = MLP([16, 12, 9, 4], image_shape=(1, 4, 4)).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.5, generator=generator)
    x, labels = torch.rand(10, 1, 4, 4, generator=generator, dtype=torch.float64), torch.arange(10) % 4
    parameters = [parameter.requires_grad_() for parameter in network.parameters()]
    columns = []
    for image, label in zip(x, labels.tolist(), strict=True):
        for rival in set(range(4)) - {label}:
            logits = network(image[None])[0]
            slopes = torch.autograd.grad(logits[label] - logits[rival], parameters)
            columns.append(torch.cat([slope.flatten() for slope in slopes]))
    theta = torch.cat([parameter.detach().flatten() for parameter in parameters])
    logits = network.requires_grad_(False)(x)
    lam, distance = nnls(torch.stack(columns, 1).numpy(), theta.numpy())
    measured = stationarity(network, x, labels)
    assert measured.residual == pytest.approx(distance / theta.norm().item(), rel=1e-6)
    assert measured.multipliers.sum(1).tolist() == pytest.approx(lam.reshape(10, 3).sum(1), abs=1e-8)
    assert measured.active.tolist() == lam.reshape(10, 3).sum(1).nonzero()[0].tolist()
    others = logits.scatter(1, labels[:, None], float("-inf")).amax(1)
    leads = (logits[torch.arange(10), labels] - others) / theta.norm() ** 3
    assert measured.margin == pytest.approx(leads.min().item())
