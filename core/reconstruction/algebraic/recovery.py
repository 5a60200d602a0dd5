"""From one sample's linear facts (`core.reconstruction.algebraic.system`) to its image.

Where the equations determine the pixels, least squares gives the image exactly; else the programme
of `core.reconstruction.algebraic.programme` picks the sparsest and smoothest. A sum of pixels alone would
shrink x and t together, since the equations are nearly homogeneous: what is minimised is the prior
*per unit of t* (Dinkelbach's method for a ratio, one pass), which fixes the scale where the box does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.reconstruction.algebraic.programme import Programme, Solution, solve_programme, variation
from core.reconstruction.algebraic.system import System

HARDEST = 1e6        # weight of an equality whose noise is nil, beside a prior of about 1 a pixel
BACKGROUNDS = ("black", "white")
CLEARLY = 0.8        # of the price of the usual background: below it the other one is believed
BY_FAR = 0.5         # and of the price per unit of t, where the prices themselves are about the same
PLAIN = 0.15         # of a page of ink: an explanation cheaper than that needs no other background beside it
COSTLIER = 1.1       # than the cheapest explanation: no scale is worth a prior above that
SCALES = 3           # programmes at most that look for such a scale
MISMATCH = 0.05      # of the measurements: beyond it the facts contradict each other
BROKEN = 0.02        # of a sign row per pixel, summed over all signs: likewise
VIOLATED = 0.01      # sum over all signs: an image that breaks more does not follow from its equations alone
COLLAPSED = 0.02     # of the typical scale: below it an explanation is no image but the mean


@dataclass(frozen=True)
class Prior:
    """What is preferred among the images that explain the update."""

    sparsity: Tensor     # [D], weight of each pixel's distance from the background
    tv: float
    reward: float | None  # of the scale, as a share of the prior per unit of t; None follows the equations
    sign_weight: float
    # A learned prior enters here, as a Gaussian [D], [D, D] beside sparsity and variation. (The covariance of the
    # base's own first-layer weights, which carry its training data's span, changed nothing: 0.80 for 0.81 at rank 8.)
    mean: Tensor | None = None
    precision: Tensor | None = None


@dataclass(frozen=True)
class Estimate:
    """One sample's image."""

    x: Tensor            # [D] in [0, 1]
    coefficient: float   # k, signed
    label: int
    slack: float         # sum of the violations of the signs, in units of a normalised row
    residual: float      # relative, of the linear measurements
    exact: bool          # more equations than free pixels, and they hold to the noise
    free: int            # pixels strictly inside the box
    equations: int
    converged: bool
    unscaled: Tensor     # [D], the image under the prior alone, before the scale was settled
    driven: Tensor       # [D], and with the scale rewarded at its mean price: far from it where the facts are loose
    collapsed: bool      # the only explanation is the mean image: the label is wrong, or the facts are
    background: str = "black"   # or white: which of the two the facts are met with at the smaller price

    @property
    def contradictory(self) -> bool:
        """No image in the box meets equations and signs, not even roughly."""
        return self.collapsed or self.residual > MISMATCH or self.slack > BROKEN * len(self.x)


def recover(system: System, prior: Prior, *, shape: tuple[int, int, int], label: int | None = None,
            should_stop: Callable[[], bool] = lambda: False) -> Estimate:
    """The image of one sample; an unknown label is the one whose sign explains it."""
    D = math.prod(shape)
    tried: dict[tuple[str, int], tuple[Programme, Solution]] = {}
    usual, other = BACKGROUNDS if system.dark else BACKGROUNDS[::-1]
    for background in (usual, other):
        for y in _likelier_first(system) if label is None else [label]:
            problem = _programme(system, prior, shape, 1 if y else -1, background)
            solution = solve_programme(problem, tolerance=1e-2, should_stop=should_stop)
            tried[background, y] = problem, solution
            if solution.t > COLLAPSED:  # with the wrong sign only t = 0 is left
                break
        if _determined(problem) is not None or \
                (solution.t > COLLAPSED and _explained(problem, solution) < PLAIN * float(prior.sparsity.sum())):
            break  # no prior decides, or it is met so well that the other cannot be
    background, best = _background(tried, usual, other)
    problem, solution = tried[background, best]
    ratio = _ratio(problem, solution)
    unscaled, driven, collapsed = solution.x, solution.x, solution.t <= COLLAPSED
    if collapsed:
        found = solution.v, False
    elif (found := _determined(problem)) is None:
        share = _reward(len(system.E)) if prior.reward is None else prior.reward
        problem, solution, driven = _scaled(problem, solution, ratio * share, capped=prior.reward is None,
                                            should_stop=should_stop)
        found = _polished(problem, solution)
    v, exact = found
    inside = int(((v[:D] > 1e-3) & (v[:D] < 1 - 1e-3)).sum())
    E = system.signed(1 if best else -1)
    relative = 0.0 if system.blurred else \
        float((E @ v - system.b).norm() / (E[:, :-1] @ v[:-1]).norm().clamp(min=1e-300))
    slack = _violated(system.G, system.g, v)
    k = system.unit / max(float(v[D]), 1e-300)
    return Estimate(v[:D].clamp(0, 1), k if best else -k, best, slack, relative, exact, inside, system.equations,
                    solution.converged, unscaled, driven, collapsed, background)


def _background(tried: dict[tuple[str, int], tuple[Programme, Solution]], usual: str, other: str) -> tuple[str, int]:
    """Background and label of the cheapest explanation; the unusual background only where it is clearly cheaper.

    Both programmes have the same equations and signs, so that their prices compare: the ink that is needed to meet the
    facts on black paper against that on white.
    """
    best = {}
    for background in (usual, other):
        labels = [key for key in tried if key[0] == background]
        if labels:
            best[background] = min(labels, key=lambda key: _ratio(*tried[key]))
    if other not in best or tried[best[other]][1].t <= COLLAPSED:
        return best[usual]
    if tried[best[usual]][1].t <= COLLAPSED:
        return best[other]
    cheaper = _explained(*tried[best[other]]) / _explained(*tried[best[usual]])
    # Loose facts allow a grey haze of as much ink as there is paper: then what a unit of t costs tells them apart.
    per_scale = _ratio(*tried[best[other]]) / _ratio(*tried[best[usual]])
    return best[other] if cheaper < CLEARLY or (cheaper < 1 / CLEARLY and per_scale < BY_FAR) else best[usual]


def _scaled(problem: Programme, cheapest: Solution, reward: float, *, capped: bool,
            should_stop: Callable[[], bool]) -> tuple[Programme, Solution, Tensor]:
    """The programme with a reward for t, its solution, and the image [D] under the full reward.

    Where t is nearly free the prior hardly grows with it, and a reward of the mean price per unit would drive t up
    until the image is a thicket. The price p(t) is convex, about p_0 + a (t - t_0)^2: `capped`, the reward is lowered
    until the prior stays below `COSTLIER` p_0.
    """
    lowest, driven = _price(problem, cheapest), None
    for attempt in range(SCALES):
        cost = problem.cost.clone()
        cost[-1] = -reward
        rewarded = replace(problem, cost=cost)
        solution = solve_programme(rewarded, tolerance=1e-5, should_stop=should_stop)
        driven = solution.x if driven is None else driven
        over = _price(problem, solution) / max(lowest, 1e-9) - 1
        if not capped or over <= 2 * (COSTLIER - 1) or attempt == SCALES - 1:
            break
        reach = (solution.t - cheapest.t) * math.sqrt((COSTLIER - 1) / over)
        reward = min(reward / 2, 2 * (COSTLIER - 1) * lowest / max(reach, 1e-9))
    return rewarded, solution, driven


def _price(problem: Programme, solution: Solution) -> float:
    """What the prior charges for an image: its ink, on black paper or white, and its variation."""
    ink, x = problem.cost[:-1], solution.x
    return float(ink.clamp(min=0) @ x - ink.clamp(max=0) @ (1 - x)) + problem.tv * variation(x, problem.shape)


def _reward(equations: int) -> float:
    """0.6 at rank 1, 0.75 at rank 8, 0.9 at 64: fewer equations leave the pixels freer to follow t up (measured)."""
    return min(1.0, 0.6 + 0.05 * math.log2(max(equations, 2) / 2))


def _likelier_first(system: System) -> list[int]:
    """Labels in the order of how many signs the least image along t meets: a guess that saves a programme."""
    along = torch.linalg.lstsq(system.E[:, :-1], -system.E[:, -1], driver="gelsd").solution
    return [1, 0] if float((system.G[:, :-1] @ along).mean()) > 0 else [0, 1]


def _programme(system: System, prior: Prior, shape: tuple[int, int, int], sign: int, background: str) -> Programme:
    """Equalities turned to orthonormal rows, each as hard as its noise allows."""
    E, b = system.signed(sign), system.b
    U, S, Vh = torch.linalg.svd(E, full_matrices=False)
    keep = 1e-12 * S[0] < S
    U, S, Vh = U[:, keep], S[keep], Vh[keep]
    ink = prior.sparsity if background == "black" else -prior.sparsity  # sum w (1 - x), less the constant sum w
    cost = torch.cat([ink, torch.zeros(1, dtype=E.dtype)])
    return Programme(Vh, (U.T @ b) / S, (0.1 * S.square()).clamp(max=HARDEST), system.G, system.g, prior.sign_weight,
                     cost, prior.tv, shape, prior.precision, prior.mean)


def _violated(G: Tensor, g: Tensor, v: Tensor) -> float:
    """Sum of the violations of G v + g >= 0."""
    return float((-(G @ v + g)).clamp(min=0).sum())


def _explained(problem: Programme, solution: Solution) -> float:
    """What an explanation costs: prior, violated signs and misfit together."""
    x = solution.x
    misfit = 0.5 * float((problem.weights * (problem.E @ solution.v - problem.b).square()).sum())
    if problem.precision is not None:
        misfit += 0.5 * float((x - problem.mean) @ problem.precision @ (x - problem.mean))
    return _price(problem, solution) + misfit + problem.sign_weight * solution.slack


def _ratio(problem: Programme, solution: Solution) -> float:
    """What an explanation costs per unit of t."""
    return _explained(problem, solution) / max(solution.t, 1e-9)


def _determined(problem: Programme) -> tuple[Tensor, bool] | None:
    """Least squares where the equations alone fix every pixel and the signs agree; None else."""
    sure = problem.weights >= 0.1
    if int(sure.sum()) < problem.E.shape[1]:  # the scale t is an unknown as well
        return None
    E = problem.E * problem.weights.sqrt()[:, None]
    solved = torch.linalg.lstsq(E, problem.b * problem.weights.sqrt(), driver="gelsd").solution
    inside = float(solved[:-1].min()) > -0.1 and float(solved[:-1].max()) < 1.1
    return (solved, True) if inside and _violated(problem.G, problem.g, solved) < VIOLATED else None


def _polished(problem: Programme, solution: Solution) -> tuple[Tensor, bool]:
    """Least squares on the free pixels where they are fewer than the equations; kept only if all is then met."""
    x, D = solution.x, len(solution.x)
    at_one = x > 1 - 1e-4
    free = torch.cat([(x > 1e-3) & (x > solution.bound) & ~at_one, torch.ones(1, dtype=torch.bool)])
    weight = problem.weights.sqrt()
    sure = int((problem.weights >= 0.1).sum())
    for _ in range(12):
        if int(free.sum()) + 2 > sure:
            break
        E = problem.E * weight[:, None]
        target = problem.b * weight - E[:, :-1] @ at_one.double()
        solved = torch.linalg.lstsq(E[:, free], target, driver="gelsd").solution
        v = torch.zeros(D + 1, dtype=x.dtype)
        v[:D] = at_one.double()
        v[free] = solved
        outside = free.clone()
        outside[:D] &= (v[:D] < 0) | (v[:D] > 1)
        outside[D] = False
        if not bool(outside.any()):
            rest = problem.E @ v - problem.b
            size = (problem.E[:, :-1] @ v[:-1]).norm()
            met = float((rest * (problem.weights >= 0.1)).norm() / size) < 1e-4
            return (v, True) if met and v[D] > 0 else (solution.v, False)
        at_one |= outside[:D] & (v[:D] > 1)
        free &= ~outside
    return solution.v, False
