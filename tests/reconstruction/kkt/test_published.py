"""The published attack step for step: our knobs against a plain loop with autograd and torch's own SGD."""

import time

import pytest
import torch

from core.assessment.matching import match
from core.config.monitor import Silent
from core.host.compute import Compute
from core.reconstruction.candidate import Candidate
from core.reconstruction.kkt.attack import attack
from core.reconstruction.objectives.modified_relu import ModifiedReLU
from core.reconstruction.objectives.naive import NaiveConfidence
from core.reconstruction.solvers.initial import draw_start
from core.reconstruction.solvers.search_space import pixels
from core.runs.kinds import AttackConfig
from core.threat.model import ThreatModel
from core.threat.observation import TrainedWeights
from pages.components.presets import PRESETS

PUBLISHED = {**PRESETS["attack"]["As published (Haim et al. 2022)"], "device": "cpu", "candidates": 12,
             "iterations": 25, "record_every": 1}


class Rows(Silent):
    def __init__(self) -> None:
        self.rows = []

    def record(self, step, **values):
        self.rows.append(values)


def launch(network, **knobs) -> tuple[Rows, object]:
    rows = Rows()
    outcome = attack(TrainedWeights(network, ThreatModel(samples=8)), AttackConfig(**{**PUBLISHED, **knobs}), rows,
                     began=time.monotonic())
    return rows, outcome


def relu(alpha: float | None):
    return torch.relu if alpha is None else lambda z: ModifiedReLU.apply(z, alpha)


def plain_losses(network, *, steps: int, alpha: float | None, naive: bool = False) -> list[float]:
    """Losses of the published loop before each step: x is mean-free, lam is searched itself, all in float64."""
    compute = Compute(torch.device("cpu"), torch.float64)
    objective = NaiveConfidence(TrainedWeights(network, ThreatModel()), compute=compute)
    labels = torch.tensor([1, 0]).repeat(6)
    start = draw_start(objective, pixels(network.input_mean), samples=12, restarts=1, labels=labels, coefficients=None,
                       init_scale=0.03498, seed=0, compute=compute, draw="gaussian", uniform_lam=True)
    x = start.coordinates[0].clone().requires_grad_()  # [12, 784]
    lam = start.lam[0].clone().requires_grad_()
    assert 0 < lam.min() < lam.max() < 1
    y = labels.double() * 2 - 1
    parameters = [p.detach().requires_grad_() for p in network.parameters()]
    first, bias, second, third = parameters
    optimizers = [torch.optim.SGD([x], lr=0.03052, momentum=0.9), torch.optim.SGD([lam], lr=1e-4, momentum=0.9)]
    losses, activation = [], relu(alpha)
    for _ in range(steps):
        values = (activation(activation(x @ first.T + bias) @ second.T) @ third.T)[:, 0]
        if naive:
            loss = -(values[y == 1].mean() - values[y == -1].mean())
        else:
            explained = torch.autograd.grad((values * lam * y).sum() / 12, parameters, create_graph=True)
            loss = sum((p.detach() - g).square().sum() for p, g in zip(parameters, explained, strict=True))
            loss = loss + 5 * torch.relu(0.4471 - lam).square().sum()
        loss = loss + torch.relu(x - 1).square().sum() + torch.relu(-1 - x).square().sum()
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, [x, lam], allow_unused=True)
        x.grad, lam.grad = gradients[0], gradients[1]
        for optimizer in optimizers:
            optimizer.step()
    return losses


@pytest.mark.parametrize(("knobs", "plain"), [
    ({}, {"alpha": 149.87}),
    ({"kkt_surrogate": "relu"}, {"alpha": None}),
    ({"kkt_objective": "naive"}, {"alpha": 149.87, "naive": True}),
], ids=["published", "ReLU", "naive"])
def test_the_loss_falls_as_in_a_plain_loop(tiny_network, knobs, plain):
    rows, _ = launch(tiny_network, **knobs)
    expected = plain_losses(tiny_network, steps=25, **plain)
    assert [row["loss"] for row in rows.rows[:25]] == pytest.approx(expected, rel=1e-6)
    assert expected[-1] < expected[0]


def test_multipliers_below_zero_do_not_end_a_restart(tiny_network):
    """Without a penalty on small ones, and with a large step."""
    rows, outcome = launch(tiny_network, lr_coefficients=0.02, lambda_weight=0.0, iterations=60)
    assert min(min(row["coefficients"]) for row in rows.rows) < 0
    assert outcome.status.name == "ITERATIONS"
    assert outcome.x.isfinite().all()


def test_naive_images_please_the_network_and_are_no_digits(tiny_network, problem, trained_indices):
    _, outcome = launch(tiny_network, kkt_objective="naive", optimizer="adam", lr_x=0.02, iterations=200,
                        record_every=50)
    x = outcome.x.double()
    assert (tiny_network(x)[outcome.labels == 1] > 0).all()
    assert (tiny_network(x)[outcome.labels == 0] < 0).all()
    assert match(outcome.x, problem.images(trained_indices)).mean("ssim") < 0.3
    assert "naive baseline" in outcome.reason


def test_naive_gradient_is_autograds(tiny_network):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 5, 1, 28, 28, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([[0, 1, 1, 1, 0], [1, 1, 1, 1, 0]])
    objective = NaiveConfidence(TrainedWeights(tiny_network, ThreatModel()),
                                compute=Compute(torch.device("cpu"), torch.float64))
    logits = tiny_network(x.flatten(0, 1)).view(2, 5)
    expected = sum(-(row[y == 1].mean() - row[y == 0].mean()) for row, y in zip(logits, labels, strict=True))
    got = objective.evaluate(Candidate(x.detach(), labels, torch.ones(2, 5, dtype=torch.float64)),
                             relu_alpha=float("inf"))
    assert got.value.sum().item() == pytest.approx(expected.item())
    assert torch.allclose(got.grad_x, torch.autograd.grad(expected, x)[0], atol=1e-12)
