"""Patches that meet their equations and have many pixels at exactly 0 or 1: found as vertices, proven by what is left.

Where the equations of a patch leave f directions open, its solutions in [0, 1] are a polytope. A patch with more than f
pixels on black or on white is a vertex of it, at which more meet than have to: such vertices are looked for by linear
programmes in random directions, each reweighted towards the box (Candes, Wakin & Boyd 2008). The proof needs neither
prior nor luck: with its pixels on the box fixed, the other pixels and the scale are overdetermined, and the equations
that are left over must hold to their noise. The scale s_t, which the equations see as a number of its own, must in
addition be the scale of the patch: blends of several private images fail there, since s is convex in the pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from core.reconstruction.patches.equations import PatchEquations
from core.reconstruction.patches.programme import orthonormal, scale_range

SLACK = 1e-3              # of the box in the search, in pixels: room for the noise of the equations
ON_BOX = (1e-2, 2.5e-3)   # nearer to 0 or 1 a pixel is tried there; half of a step of 8-bit pixels at the least
SPARE = 3                 # equations that are left over, at the least
MET = 0.3                 # of an equation's noise: what the left-over equations of a proven patch are off
QUIET = 0.02              # of an equation's noise: no fit is believed to be better than that
DEVIATIONS = 5.0          # of the scale: how far it may be off the patch's own
SHARP = 0.01              # deviation of a pixel, and relative one of the scale, above which nothing is proven
REWEIGHTED = 5            # times at most, from each start
SOFT = 0.05               # of a pixel: softens the weights of those on the box


@dataclass(frozen=True)
class Vertex:
    """One patch at one place."""

    patch: np.ndarray    # [D] in [0, 1]
    scale: float
    spare: int           # equations left over
    misfit: float        # of what is left over, in units of the noise
    scale_error: float   # |s_t / s(x_t) - 1|, in its deviations

    def same(self, other: "Vertex") -> bool:
        return bool(np.abs(self.patch - other.patch).max() < 0.02)


class VertexSearch:
    """For all places of the same equations."""

    def __init__(self, equations: PatchEquations, *, seed: int) -> None:
        rows, right, weights = orthonormal(equations)
        self.rows, self.right, self.weights = rows.numpy(), right.numpy(), weights.numpy()
        self.D = rows.shape[1] - 1
        self.equations = len(equations.left)
        # Of each place, what of the right side no patch at all could explain: noise, if the rank was read rightly.
        self.rest = np.square(equations.right.numpy()).sum(1) - np.square(self.right * self.weights).sum(1)
        self.inputs = equations.inputs
        self.low, self.high = scale_range(equations.inputs)
        self.random = np.random.default_rng(seed)

    @property
    def free(self) -> int:
        """Directions that the equations leave open."""
        return self.D + 1 - len(self.rows)

    def at(self, place: int, *, wanted: int, starts: int, should_stop: Callable[[], bool] = lambda: False,
           ) -> list[Vertex]:
        """Proven patches at a place, distinct, until `wanted` are found or all `starts` are used."""
        found: list[Vertex] = []
        for start in range(starts):
            if len(found) >= wanted or should_stop():
                break
            vertex = self._from(place, self._direction(start))
            if vertex is not None and not any(vertex.same(other) for other in found):
                found.append(vertex)
        return found

    def solved(self, place: int) -> tuple[np.ndarray, bool]:
        """Where no direction is open: the patch [D], not clipped, and whether it is proven."""
        left = self.weights[:, None] * self.rows
        z = np.linalg.solve(self.rows, self.right[place])
        own = self._own_scale(place, z[:-1])
        spare = self.equations - len(z)
        misfit = float(np.sqrt(self.rest[place] / spare)) / own if spare else QUIET
        return z[:-1], _scale_error(z[:-1], z[-1], left, misfit=misfit, own=own, outside=ON_BOX[0]) is not None

    def deviation(self, place: int, patch: np.ndarray) -> float:
        """Where no direction is open: root mean square deviation of the pixels of least squares."""
        left = self.weights[:, None] * self.rows
        variance = np.diag(np.linalg.inv(left.T @ left))[:-1]
        return float(np.sqrt(variance.mean())) * self._own_scale(place, patch)

    def _direction(self, start: int) -> np.ndarray:
        """[D]: the sparsest first, then the sparsest by other prices and any direction in turn."""
        noise = self.random.standard_normal(self.D)
        return np.ones(self.D) if start == 0 else (1 + 0.5 * noise if start % 2 else noise)

    def _from(self, place: int, direction: np.ndarray) -> Vertex | None:
        z = None
        for _ in range(REWEIGHTED + 1):
            moved = self._solve(place, direction)
            if moved is None or (z is not None and np.abs(moved - z).max() < 1e-6):
                return None
            z = moved
            if (vertex := self.proven(place, z[:self.D])) is not None:
                return vertex
            x = z[:self.D]
            direction = np.where(x < 0.5, 1 / (np.abs(x) + SOFT), -1 / (np.abs(1 - x) + SOFT))
        return None

    def _solve(self, place: int, direction: np.ndarray) -> np.ndarray | None:
        return linprog(np.append(direction, 0.0), A_eq=self.rows, b_eq=self.right[place], method="highs-ds",
                       bounds=[*[(-SLACK, 1 + SLACK)] * self.D, (self.low[place], self.high[place])]).x

    def proven(self, place: int, x: np.ndarray) -> Vertex | None:
        """The patch with the pixels of `x` [D] that are about on the box fixed there, if what is left over holds."""
        for near in ON_BOX:
            white, free = x > 1 - near, (x >= near) & (x <= 1 - near)
            spare = len(self.rows) - int(free.sum()) - 1
            if spare < SPARE:
                continue
            columns = np.append(np.flatnonzero(free), self.D)
            left = self.weights[:, None] * self.rows[:, columns]
            right = self.weights * (self.right[place] - self.rows[:, :self.D] @ white)
            solution = np.linalg.lstsq(left, right, rcond=None)[0]
            patch = white.astype(float)
            patch[free] = solution[:-1]
            own = self._own_scale(place, patch)
            misfit = float(np.sqrt(np.square(left @ solution - right).sum() / spare)) / own
            error = _scale_error(patch, solution[-1], left, misfit=misfit, own=own, outside=ON_BOX[-1])
            if error is not None:
                return Vertex(patch.clip(0, 1), float(solution[-1]), spare, misfit, error)
        return None

    def _own_scale(self, place: int, patch: np.ndarray) -> float:
        v = self.inputs.embedding.numpy() @ patch + self.inputs.offset[place].numpy()
        return float(np.sqrt(v.var() + self.inputs.eps))


def _scale_error(patch: np.ndarray, scale: float, left: np.ndarray, *, misfit: float, own: float,
                 outside: float) -> float | None:
    """|s_t / s(x_t) - 1| in its deviations, of least squares with this left side; None where that proves no patch: the
    left-over equations do not hold, pixels or scale are not determined to `SHARP`, the scale is another one, or pixels
    are further than `outside` from [0, 1]."""
    deviations = max(misfit, QUIET) * np.sqrt(np.diag(np.linalg.inv(left.T @ left)))
    error, deviation = abs(float(scale) / own - 1), float(deviations[-1])
    sharp = deviations[:-1].max(initial=0) * own < SHARP and deviation < SHARP
    proven = misfit < MET and sharp and error < DEVIATIONS * deviation and \
        patch.min() > -outside and patch.max() < 1 + outside
    return error / deviation if proven else None
