"""Images out of exact measurements: certain where the equations suffice, and never called certain where they do not."""

from dataclasses import replace

import pytest
import torch

from core.assessment.image_metrics import psnr
from core.reconstruction.algebraic.programme import Programme, solve_programme
from core.reconstruction.algebraic.recovery import Prior, _price, _scaled, recover
from core.reconstruction.algebraic.separation import separate
from core.reconstruction.algebraic.system import System, build_system
from core.reconstruction.algebraic.updates import layer_updates
from tests.helpers.cases import OneStep, assign, one_step

SHAPE = (1, 14, 14)
D = 196
PRIOR = Prior(torch.ones(D, dtype=torch.float64), 1.0, None, 1000.0)


def systems(step: OneStep, observation) -> list[System]:
    """In the order of the truth."""
    updates = layer_updates(observation)
    separation = separate(step.network, updates, samples=len(step.x))
    order = assign(separation.layers[0].on, step.patterns(0))
    return [build_system(step.network, updates, separation, sample) for sample in order]


def decibels(estimate, truth: torch.Tensor) -> float:
    return psnr(estimate.x.view(SHAPE), truth)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("released", ["adapter", "weights"])
def test_the_truth_meets_its_system(problem, samples, released):
    step = one_step(problem, samples)
    observation = step.adapter() if released == "adapter" else step.weights()
    for index, system in enumerate(systems(step, observation)):
        t = system.unit / float(step.k[index].abs())
        v = torch.cat([step.x[index].flatten(), torch.tensor([t], dtype=torch.float64)])
        E = system.signed(1 if step.labels[index] else -1)
        assert float((E @ v - system.b).norm() / (E[:, :-1] @ v[:-1]).norm()) < 1e-9
        assert float((system.G @ v + system.g).min()) > -1e-9
        assert torch.allclose(system.G.norm(dim=1), torch.ones(len(system.G), dtype=torch.float64))


@pytest.mark.parametrize("rank", [140, 250])
def test_enough_equations_are_exact(problem, rank):
    """At rank 140 they are more than the free pixels alone, at rank 250 more than all."""
    step = one_step(problem, 2)
    for index, system in enumerate(systems(step, step.adapter(rank=rank))):
        found = recover(system, PRIOR, shape=SHAPE)
        assert found.exact
        assert decibels(found, step.x[index]) > 100
        assert found.label == int(step.labels[index])
        assert found.coefficient == pytest.approx(float(step.k[index]), rel=1e-6)
        assert found.residual < 1e-6
        assert not found.contradictory


@pytest.mark.parametrize("inverted", [False, True])
def test_the_facts_decide_which_way_the_background_lies(problem, inverted):
    """The same base, mean and prior: a digit on black paper, and its negative."""
    step = one_step(problem, 1)
    if inverted:
        step = replace(step, x=1 - step.x)
    found = recover(systems(step, step.adapter(rank=16))[0], PRIOR, shape=SHAPE)
    assert found.background == ("white" if inverted else "black")
    assert found.label == int(step.labels[0])
    assert decibels(found, step.x[0]) > 12


def test_a_scale_that_costs_nothing_is_not_driven_up():
    """Facts that leave t free, p(t) = p_0 + a (t - t_0)^2 above t_0: the capped reward ends near 1.1 p_0."""
    pixels = 16
    E = torch.eye(pixels, pixels + 1, dtype=torch.float64)
    b = torch.full((pixels,), 0.25, dtype=torch.float64)
    E[:, -1] = torch.linspace(-1e-3, 1e-3, pixels)  # t costs variation, and hardly any
    problem = Programme(E, b, torch.full((pixels,), 1e6, dtype=torch.float64), torch.zeros(0, pixels + 1).double(),
                        torch.zeros(0).double(), 1000.0, torch.cat([torch.ones(pixels), torch.zeros(1)]).double(), 1.0,
                        (1, 4, 4))
    cheapest = solve_programme(problem, tolerance=1e-4)
    lowest = _price(problem, cheapest)
    _, free, _ = _scaled(problem, cheapest, 1.0, capped=False, should_stop=lambda: False)
    _, capped, driven = _scaled(problem, cheapest, 1.0, capped=True, should_stop=lambda: False)
    assert _price(problem, free) > 1.4 * lowest
    assert 0.999 * lowest < _price(problem, capped) < 1.25 * lowest
    assert capped.t < free.t
    assert torch.equal(driven, free.x)


def test_too_few_equations_are_not_called_exact(problem):
    step = one_step(problem, 1)
    (system,) = systems(step, step.adapter(rank=8))
    found = recover(system, PRIOR, shape=SHAPE)
    assert not found.exact
    assert found.free > found.equations == 16
    assert decibels(found, step.x[0]) < 60
    assert found.residual < 0.01
    assert 0 <= float(found.x.min()) <= float(found.x.max()) <= 1


def test_a_certificate_is_never_wrong(problem):
    """Ranks around the number of free pixels: what calls itself exact is."""
    step = one_step(problem, 1)
    called = 0
    for rank in (24, 60, 96, 132, 168):
        (system,) = systems(step, step.adapter(rank=rank))
        found = recover(system, PRIOR, shape=SHAPE)
        called += found.exact
        assert not found.exact or decibels(found, step.x[0]) > 80
    assert called > 0


def test_the_label_is_found_and_the_other_does_not_fit(problem):
    step = one_step(problem, 2)
    for index, system in enumerate(systems(step, step.adapter(rank=32))):
        label = int(step.labels[index])
        free, right = recover(system, PRIOR, shape=SHAPE), recover(system, PRIOR, shape=SHAPE, label=label)
        assert (free.label, right.label) == (label, label)
        assert torch.allclose(free.x, right.x, atol=1e-6)
        assert (free.coefficient > 0) == bool(label)


def test_contradictory_facts_are_said_to_be(problem):
    step = one_step(problem, 1)
    (system,) = systems(step, step.adapter(rank=32))
    generator = torch.Generator().manual_seed(0)
    flip = torch.where(torch.rand(len(system.g), generator=generator) < 0.5, -1.0, 1.0).double()
    noise = torch.randn(system.b.shape, generator=generator, dtype=torch.float64)
    wrong = [replace(system, G=flip[:, None] * system.G, g=flip * system.g),
             replace(system, b=noise * system.b.norm() / noise.norm())]
    for estimate in [recover(other, PRIOR, shape=SHAPE) for other in wrong] + [
            recover(system, PRIOR, shape=SHAPE, label=1 - int(step.labels[0]))]:
        assert estimate.contradictory
        assert not estimate.exact
        assert bool(estimate.x.isfinite().all())
    assert not recover(system, PRIOR, shape=SHAPE).contradictory


def test_a_stop_leaves_an_image_that_did_not_converge(problem):
    step = one_step(problem, 1)
    (system,) = systems(step, step.adapter(rank=32))
    found = recover(system, PRIOR, shape=SHAPE, should_stop=lambda: True)
    assert not found.converged
    assert bool(found.x.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_softens_the_equations(problem, dtype):
    """The truth violates what rounding blurred by no more than the noise that the system allows for."""
    step = one_step(problem, 1)
    (system,) = systems(step, step.adapter(dtype=dtype, layers=("layers.0", "layers.1", "layers.2")))
    v = torch.cat([step.x[0].flatten(), torch.tensor([system.unit / float(step.k[0].abs())], dtype=torch.float64)])
    E = system.signed(1 if step.labels[0] else -1)
    assert float((E @ v - system.b).square().mean().sqrt()) < 5
