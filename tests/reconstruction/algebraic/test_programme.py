"""The interior point method against HiGHS on the same programme written out, and against its optimality conditions."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from core.reconstruction.algebraic.programme import Programme, solve_programme, variation

SHAPE = (1, 8, 8)
D = 64


def picture() -> torch.Tensor:
    """A bright L on black, [64]: sparse and piecewise smooth."""
    image = torch.zeros(8, 8, dtype=torch.float64)
    image[1:6, 2:4], image[5:7, 2:7] = 0.6, 0.9
    return image.flatten()


def programme(*, equations: int = 20, signs: int = 40, wrong: int = 0, seed: int = 0) -> Programme:
    """Equations and signs that the picture and t = 1.3 meet, but for `wrong` signs that contradict it."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.cat([picture(), torch.tensor([1.3]).double()])
    E = torch.linalg.qr(torch.randn(D + 1, equations, generator=generator, dtype=torch.float64))[0].T
    G = torch.randn(signs, D + 1, generator=generator, dtype=torch.float64)
    G[:, D] = 0
    g = 0.2 * torch.randn(signs, generator=generator, dtype=torch.float64)
    size = G.norm(dim=1)
    G, g = G / size[:, None], g / size
    direction = torch.sign(G @ truth + g)
    direction[:wrong] *= -1
    noise = torch.rand(D, generator=generator, dtype=torch.float64)  # unequal prices: one optimum
    return Programme(E, E @ truth, torch.full((equations,), 1e6).double(), direction[:, None] * G, direction * g, 100.0,
                     torch.cat([1 + 0.1 * noise, torch.tensor([-0.5]).double()]), 0.7, SHAPE)


def edges() -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(D).reshape(8, 8)
    return (np.concatenate([index[:, 1:].ravel(), index[1:].ravel()]),
            np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()]))


def reference(problem: Programme) -> tuple[np.ndarray, float]:
    """HiGHS over (x, t, |d|, slack), with the equalities exact."""
    first, second = edges()
    P, J = len(first), len(problem.g)
    B = np.zeros((P, D + 1))
    B[np.arange(P), first], B[np.arange(P), second] = 1, -1
    rows = np.block([[B, -np.eye(P), np.zeros((P, J))], [-B, -np.eye(P), np.zeros((P, J))],
                     [-problem.G.numpy(), np.zeros((J, P)), -np.eye(J)]])
    right = np.concatenate([np.zeros(2 * P), problem.g.numpy()])
    cost = np.concatenate([problem.cost.numpy(), np.full(P, problem.tv), np.full(J, problem.sign_weight)])
    equal = np.hstack([problem.E.numpy(), np.zeros((len(problem.b), P + J))])
    found = linprog(cost, rows, right, equal, problem.b.numpy(),
                    [(0, 1)] * D + [(0, None)] * (1 + P + J), method="highs")
    assert found.status == 0
    return found.x[:D + 1], found.fun


def value(problem: Programme, v: torch.Tensor) -> float:
    rest = problem.E @ v - problem.b
    violated = (-(problem.G @ v + problem.g)).clamp(min=0).sum()
    return float(problem.cost @ v + problem.sign_weight * violated + 0.5 * (problem.weights * rest.square()).sum()
                 ) + problem.tv * variation(v[:D], SHAPE)


def optimality(problem: Programme, v: torch.Tensor, *, near: float = 1e-3) -> float:
    """The smallest subgradient at v, in the largest component: multipliers found by a linear programme."""
    first, second = edges()
    x, margin = v[:D].numpy(), (problem.G @ v + problem.g).numpy()
    d = x[first] - x[second]
    B = np.zeros((len(first), D + 1))
    B[np.arange(len(first)), first], B[np.arange(len(first)), second] = 1, -1
    smooth = (problem.cost + problem.E.T @ (problem.weights * (problem.E @ v - problem.b))).numpy()
    tau, s = problem.tv, problem.sign_weight
    bounds = [(-tau, tau) if abs(step) < near else (np.sign(step) * tau,) * 2 for step in d]
    bounds += [(0, s) if abs(m) < near else ((s, s) if m < 0 else (0, 0)) for m in margin]
    bounds += [(0, None) if value < near else (0, 0) for value in v.numpy()]
    bounds += [(0, None) if value > 1 - near else (0, 0) for value in x]
    high = np.vstack([np.eye(D), np.zeros((1, D))])
    columns = np.hstack([B.T, -problem.G.numpy().T, -np.eye(D + 1), high])
    one = np.ones((D + 1, 1))
    found = linprog(np.append(np.zeros(columns.shape[1]), 1), np.vstack([np.hstack([columns, -one]),
                    np.hstack([-columns, -one])]), np.concatenate([-smooth, smooth]), bounds=[*bounds, (0, None)],
                    method="highs")
    assert found.status == 0
    return found.fun


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("equations", "signs"), [(20, 40), (5, 100), (40, 0)])
def test_it_is_the_linear_programme(equations, signs, seed):
    problem = programme(equations=equations, signs=signs, seed=seed)
    exact, best = reference(problem)
    solution = solve_programme(problem, tolerance=1e-7)
    assert solution.converged
    assert value(problem, solution.v) == pytest.approx(best, rel=1e-4)
    assert np.abs(solution.v.numpy() - exact).max() < 5e-3
    assert solution.slack < 1e-4
    assert float((problem.E @ solution.v - problem.b).abs().max()) < 1e-4
    assert float(solution.x.min()) > 0
    assert float(solution.x.max()) < 1


@pytest.mark.parametrize("wrong", [0, 5])
def test_optimality_conditions_hold(wrong):
    problem = programme(wrong=wrong)
    solution = solve_programme(problem, tolerance=1e-8)
    assert optimality(problem, solution.v) < 1e-2
    assert optimality(problem, solve_programme(problem, tolerance=1e-8, most=8).v) > 0.1  # the check does tell
    assert bool((solution.bound > 0).all())
    assert float((solution.bound * solution.x).max()) < 1e-5


def test_soft_equations_are_weighed_against_the_prior():
    """No boxes, signs or variation in the way: min c x + w/2 (x - b)^2 has x = b - c / w."""
    weights = torch.linspace(5, 50, D, dtype=torch.float64)
    E = torch.cat([torch.eye(D), torch.zeros(D, 1)], dim=1).double()
    b = torch.full((D,), 0.6).double()
    cost = torch.cat([torch.ones(D), torch.zeros(1)]).double()
    problem = Programme(E, b, weights, torch.zeros(1, D + 1).double(), torch.ones(1).double(), 1.0,
                        torch.cat([cost[:D], torch.tensor([1.0]).double()]), 0.0, SHAPE)
    solution = solve_programme(problem, tolerance=1e-9)
    assert torch.allclose(solution.x, b - 1 / weights, atol=1e-5)
    assert solution.t < 1e-6


def test_a_tighter_tolerance_is_never_worse():
    problem = programme(wrong=3)
    found = [solve_programme(problem, tolerance=tolerance) for tolerance in (1e-1, 1e-3, 1e-5, 1e-7)]
    values = [value(problem, solution.v) for solution in found]
    assert all(after < before + 1e-9 for before, after in pairwise(values))
    iterations = [solution.iterations for solution in found]
    assert iterations == sorted(iterations)
    assert iterations[-1] < 40


def test_signs_that_cannot_be_met_end_with_slack():
    """Two opposite half-spaces with a gap between them, and a third beyond the box."""
    problem = programme(signs=20)
    row = problem.G[:1]
    G = torch.cat([problem.G, row, -row])
    g = torch.cat([problem.g, -row @ torch.full((D + 1,), 0.5).double() - 1,
                   row @ torch.full((D + 1,), 0.5).double() - 1])
    contradictory = replace(problem, G=G, g=g)
    solution = solve_programme(contradictory, tolerance=1e-6)
    assert solution.converged
    assert solution.slack > 1.99                                    # the gap is 2 wide
    _, best = reference(contradictory)
    assert value(contradictory, solution.v) == pytest.approx(best, rel=1e-3)


def test_a_stop_gives_the_best_iterate_so_far():
    problem = programme()
    asked = iter([False] * 4 + [True] * 10)
    solution = solve_programme(problem, tolerance=1e-8, should_stop=lambda: next(asked))
    assert (solution.converged, solution.iterations) == (False, 4)
    assert bool(solution.v.isfinite().all())
    assert not solve_programme(problem, tolerance=1e-8, most=3).converged


def test_a_gaussian_prior_decides_where_the_equations_leave_pixels_open():
    problem = programme(equations=20, signs=1)
    mean = 0.25 + 0.5 * torch.rand(D, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    near = torch.cat([0.9 * mean + 0.05, torch.tensor([1.3]).double()])
    problem = replace(problem, b=problem.E @ near)
    precise = replace(problem, cost=torch.zeros(D + 1).double(), tv=0.0, sign_weight=1e-6, mean=mean,
                      precision=torch.eye(D, dtype=torch.float64))
    found = solve_programme(precise, tolerance=1e-8)
    assert found.converged
    # Least squares from the mean under the equations, over x and the free t; no bound is active.
    E = problem.E
    kernel = torch.linalg.svd(E)[2][20:].T
    start = torch.linalg.lstsq(E, problem.b[:, None], driver="gelsd").solution[:, 0]
    pixels = kernel[:D]
    expected = start + kernel @ torch.linalg.lstsq(pixels, (mean - start[:D])[:, None], driver="gelsd").solution[:, 0]
    assert float(expected[:D].min()) > 0
    assert float(expected[:D].max()) < 1
    assert torch.allclose(found.x, expected[:D], atol=1e-3)
