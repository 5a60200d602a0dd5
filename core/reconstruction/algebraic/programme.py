"""A convex programme for one image, solved by a primal-dual interior point method.

    minimise    c^T v + tau TV(x) + 1/2 sum_k w_k (E_k v - b_k)^2 + s sum_j max(0, -(G_j v + g_j))
    over        v = (x, t),  x in [0, 1]^D,  t >= 0

TV is anisotropic. Slack on the signs at a high price s is exact where the signs are consistent, and
stays small where a few are wrong. Mehrotra's predictor-corrector (Mehrotra 1992) on the problem with
bounds on the slacks and the variation split off by hand, so that a step costs one Cholesky factor of
size D + 1 and one product G^T diag G. HiGHS needs 4 to 17 s for the same programme, this about 2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

START = 0.2        # of every pixel; 1 of the scale
NEGLIGIBLE = 1e-6  # weight of a sign against the largest, in the Newton matrix
STEP_BACK = 0.99   # of the way to the boundary


@dataclass(frozen=True)
class Programme:
    """float64 on the CPU; D pixels, K equalities, J signs."""

    E: Tensor             # [K, D + 1]
    b: Tensor             # [K]
    weights: Tensor       # [K] > 0
    G: Tensor             # [J, D + 1], rows of unit norm
    g: Tensor             # [J]
    sign_weight: float
    cost: Tensor          # [D + 1], linear
    tv: float
    shape: tuple[int, int, int]
    precision: Tensor | None = None   # [D, D], of 1/2 (x - mean)^T precision (x - mean); None is no such term
    mean: Tensor | None = None        # [D]


@dataclass(frozen=True)
class Solution:
    v: Tensor             # [D + 1]
    slack: float          # sum over the violated signs
    bound: Tensor         # [D] dual of x >= 0: positive where a pixel is held at 0
    iterations: int
    converged: bool

    @property
    def x(self) -> Tensor:
        return self.v[:-1]

    @property
    def t(self) -> float:
        return float(self.v[-1])


class _Variation:
    """Differences between neighbours of an image [C, H, W], as index pairs."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        index = torch.arange(math.prod(shape)).view(shape)
        self.first = torch.cat([index[:, :, 1:].flatten(), index[:, 1:].flatten()])
        self.second = torch.cat([index[:, :, :-1].flatten(), index[:, :-1].flatten()])

    def of(self, x: Tensor) -> Tensor:
        return x[self.first] - x[self.second]

    def transposed(self, p: Tensor, size: int) -> Tensor:
        out = torch.zeros(size, dtype=p.dtype)
        return out.index_add_(0, self.first, p).index_add_(0, self.second, -p)

    def add_gram(self, H: Tensor, w: Tensor) -> None:
        for rows, columns, sign in ((self.first, self.first, 1), (self.second, self.second, 1),
                                    (self.first, self.second, -1), (self.second, self.first, -1)):
            H.index_put_((rows, columns), sign * w, accumulate=True)


def variation(x: Tensor, shape: tuple[int, int, int]) -> float:
    """Anisotropic total variation of a flat image [D]."""
    return float(_Variation(shape).of(x).abs().sum())


@dataclass
class _Pair:
    """A primal and a dual variable whose product goes to mu; `dp`, `dd` their Newton steps."""

    primal: Tensor
    dual: Tensor
    dp: Tensor | None = None
    dd: Tensor | None = None

    def reach(self) -> float:
        """The longest step that keeps both positive."""
        longest = 1.0
        for value, change in ((self.primal, self.dp), (self.dual, self.dd)):
            falling = change < 0
            if bool(falling.any()):
                longest = min(longest, float((-value[falling] / change[falling]).min()))
        return longest

    def after(self, step: float) -> Tensor:
        return (self.primal + step * self.dp) * (self.dual + step * self.dd)

    def target(self, mu: float, *, corrected: bool) -> Tensor:
        rest = mu - self.primal * self.dual
        return rest - self.dp * self.dd if corrected else rest


class _State:
    """All variables of the method. A strictly feasible start exists always: slacks take up what is violated."""

    def __init__(self, problem: Programme) -> None:
        self.problem = problem
        D = problem.E.shape[1] - 1
        self.D, self.variation = D, _Variation(problem.shape)
        self.v = torch.full((D + 1,), START, dtype=torch.float64)
        self.v[D] = 1.0
        self.Q = problem.E.T @ (problem.weights[:, None] * problem.E)
        self.q = problem.cost - problem.E.T @ (problem.weights * problem.b)
        if problem.precision is not None:
            self.Q[:D, :D] += problem.precision
            self.q[:D] -= problem.precision @ problem.mean
        margin = problem.G @ self.v + problem.g
        slack = (-margin).clamp(min=0) + 0.1
        half = torch.full_like(problem.g, problem.sign_weight / 2)
        self.sign, self.slack = _Pair(margin + slack, half), _Pair(slack, half.clone())
        d = self.variation.of(self.v[:D])
        size = d.abs() + 0.1
        tau = torch.full_like(d, max(problem.tv, 1e-9) / 2)
        self.up, self.down = _Pair(size - d, tau), _Pair(size + d, tau.clone())
        self.low = _Pair(self.v.clone(), torch.full_like(self.v, 0.1))
        self.high = _Pair(1 - self.v[:D], torch.full((D,), 0.1, dtype=torch.float64))
        self.pairs = [self.sign, self.slack, self.up, self.down, self.low, self.high]

    def mu(self) -> float:
        return float(torch.cat([pair.primal * pair.dual for pair in self.pairs]).mean())

    def stationarity(self) -> Tensor:
        rest = self.Q @ self.v + self.q - self.problem.G.T @ self.sign.dual - self.low.dual
        rest[:self.D] += self.high.dual + self.variation.transposed(self.up.dual - self.down.dual, self.D)
        return rest

    def factor(self) -> None:
        """Cholesky factor of the reduced Newton matrix, used by predictor and corrector."""
        self.theta = 1 / (self.sign.primal / self.sign.dual + self.slack.primal / self.slack.dual)
        self.theta_tv = 4 / (self.up.primal / self.up.dual + self.down.primal / self.down.dual)
        # A constraint of no weight costs as much as any other: left out here, it still counts in every residual.
        active = self.theta > (NEGLIGIBLE * float(self.theta.max()) if len(self.theta) else 0.0)
        G = self.problem.G[active]
        H = self.Q + G.T @ (self.theta[active, None] * G)
        diagonal = self.low.dual / self.low.primal
        diagonal[:self.D] += self.high.dual / self.high.primal
        H.diagonal().add_(diagonal)
        self.variation.add_gram(H, self.theta_tv)
        self.cholesky = torch.linalg.cholesky(H)

    def newton(self, mu: float, *, corrected: bool) -> None:
        """Steps of all variables towards products of `mu`; `corrected` by the predictor's second order."""
        targets = [pair.target(mu, corrected=corrected) for pair in self.pairs]
        r_sign, r_slack, r_up, r_down, r_low, r_high = targets
        h = r_sign / self.sign.dual - r_slack / self.slack.dual
        k = r_up / self.up.dual - r_down / self.down.dual
        G = self.problem.G
        right = -self.stationarity() + G.T @ (self.theta * h) + r_low / self.low.primal
        right[:self.D] -= r_high / self.high.primal + self.variation.transposed(self.theta_tv / 2 * k, self.D)
        dv = torch.cholesky_solve(right[:, None], self.cholesky)[:, 0]
        self.dv = dv
        dy = self.theta * (h - G @ dv)
        ds = (r_slack + self.slack.primal * dy) / self.slack.dual
        self.slack.dp, self.slack.dd = ds, -dy
        self.sign.dp, self.sign.dd = G @ dv + ds, dy
        dd = self.variation.of(dv[:self.D])
        p = self.theta_tv / 4 * (k + 2 * dd)
        du = (r_up - self.up.primal * p) / self.up.dual + dd
        self.up.dp, self.up.dd, self.down.dp, self.down.dd = du - dd, p, du + dd, -p
        self.low.dp, self.low.dd = dv, (r_low - self.low.dual * dv) / self.low.primal
        self.high.dp = -dv[:self.D]
        self.high.dd = (r_high + self.high.dual * dv[:self.D]) / self.high.primal

    def advance(self) -> None:
        step = min(1.0, STEP_BACK * min(pair.reach() for pair in self.pairs))
        self.v = self.v + step * self.dv
        for pair in self.pairs:
            pair.primal = pair.primal + step * pair.dp
            pair.dual = pair.dual + step * pair.dd


def solve_programme(problem: Programme, *, tolerance: float, most: int = 80,
                    should_stop: Callable[[], bool] = lambda: False) -> Solution:
    """Until the mean complementarity is below `tolerance` and the dual residual below 0.1 sqrt(tolerance)."""
    state = _State(problem)
    converged, iterations = False, 0
    best = (math.inf, state.v)
    while iterations < most:
        mu, rest = state.mu(), float(state.stationarity().abs().max())
        if not math.isfinite(mu + rest):
            break
        best = min(best, (mu + rest, state.v), key=lambda item: item[0])
        if mu < tolerance and rest < 0.1 * tolerance ** 0.5:
            converged = True
            break
        if should_stop():
            break
        try:
            state.factor()
        except torch.linalg.LinAlgError:  # at the end of float64: what is reached is what there is
            break
        state.newton(0.0, corrected=False)
        reach = min(pair.reach() for pair in state.pairs)
        ahead = float(torch.cat([pair.after(reach) for pair in state.pairs]).mean())
        state.newton(mu * min(1.0, ahead / mu) ** 3, corrected=True)
        state.advance()
        iterations += 1
    v = state.v if converged else best[1]
    slack = float((-(problem.G @ v + problem.g)).clamp(min=0).sum())
    return Solution(v, slack, state.low.dual[:-1], iterations, converged)
