"""The one private image of an adapter: each patch from its own equations, exactly where they suffice.

Where the equations are as many as the unknowns, least squares; else the programme over all patches
(`core.reconstruction.patches.programme`). What is *pinned* is found out apart from either: a patch is pinned where
equations and box alone leave it no room, measured by how far it can go along a random direction and back.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from core.reconstruction.patches.equations import NOISE, PatchEquations
from core.reconstruction.patches.programme import ImageProgramme, orthonormal, scale_range

BOX = 1e-3        # how far pixels of an exact solution may leave [0, 1], in pixels
ROOM = 1e-3       # of a pixel, root mean square: a patch that can move less is pinned
MET = 1e-3        # |s_t / s(x_t) - 1|: above it the scale is not that of the patch


@dataclass(frozen=True)
class Single:
    """One image and how each patch of it is known."""

    x: Tensor          # [C, H, W] in [0, 1]
    room: Tensor       # [T], how far a patch could be elsewhere, root mean square of a pixel; inf where not measured
    scale_error: Tensor   # [T], |s_t / s(x_t) - 1|
    misfit: Tensor     # [T], largest violation, in units of the noise
    outside: float     # of the pixels, mean distance from [0, 1] before clipping
    exact: bool        # by least squares
    background: str

    @property
    def pinned(self) -> Tensor:
        """[T], whether nothing but this patch meets the equations within [0, 1]."""
        return (self.room < ROOM) & (self.scale_error < 10 * MET) & (self.misfit < 10 * NOISE)

    @property
    def contradictory(self) -> bool:
        """Whether some patch has no explanation in [0, 1]."""
        return self.outside > 0.02 or bool((self.misfit > 1e3 * NOISE).any())


def single_image(equations: PatchEquations, *, tv: float, sparsity: float) -> Single:
    """The image; `tv` and `sparsity` weigh what is preferred where the equations leave it open."""
    rows, right = orthonormal(equations)
    inputs = equations.inputs
    if len(rows) == equations.unknowns:
        z = torch.linalg.solve(rows, right.T).T
        patches, scale = z[:, :-1], z[:, -1]
        exact, background = True, ""
        room = torch.zeros(len(patches), dtype=torch.float64)
        x = inputs.images(patches[None])[0]
        outside = float((x - x.clamp(0, 1)).abs().mean())
        x = x.clamp(0, 1)
    else:
        solved = {}
        for background, level in (("black", 0.0), ("white", 1.0)):
            programme = ImageProgramme(equations, tv=tv, sparsity=sparsity, background=level)
            solved[background] = programme.solve()
            ink = (solved[background][0] - level).abs().sum()
            solved[background] += (float(ink),)
        # Whose ink is less, the slacks being alike: which paper a picture is on is decided by the facts.
        background = min(solved, key=lambda name: (round(solved[name][2], 2), solved[name][3]))
        x, scale, _, _ = solved[background]
        exact, outside = False, 0.0
        patches = inputs.patches(x[None])[0]
        room = room_of(rows, right, equations)
    own = inputs.scale(patches)
    return Single(x, room, (scale / own - 1).abs(), equations.misfit(inputs.patches(x[None])[0], scale), outside, exact,
                  background)


def room_of(rows: Tensor, right: Tensor, equations: PatchEquations) -> Tensor:
    """[T]: how far each patch can move along one random direction within equations and box, per pixel.

    A polytope of any extent has one along almost every direction, so that one random direction tells a point from it.
    """
    D = rows.shape[1] - 1
    low, high = scale_range(equations.inputs)
    direction = torch.randn(D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction = torch.cat([direction / direction.norm(), torch.zeros(1, dtype=torch.float64)]).numpy()
    slack = NOISE * noise_of(equations, rows)
    A = np.concatenate([rows.numpy(), -rows.numpy()])
    room = []
    for t in range(len(right)):
        b = np.concatenate([right[t].numpy() + slack, -right[t].numpy() + slack])
        ends = [linprog(sign * direction, A_ub=A, b_ub=b, bounds=[*[(0.0, 1.0)] * D, (low[t], high[t])],
                        method="highs") for sign in (1, -1)]
        room.append(-(ends[0].fun + ends[1].fun) if all(end.x is not None for end in ends) else float("inf"))
    return torch.tensor(room, dtype=torch.float64)


def noise_of(equations: PatchEquations, rows: Tensor) -> np.ndarray:
    """Deviation [k] of each orthonormalised equation: those of the left side have unit noise."""
    S = torch.linalg.svdvals(equations.left)
    return (1 / S[:len(rows)]).numpy()
