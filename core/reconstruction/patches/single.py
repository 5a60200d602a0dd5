"""The one private image of an adapter: each patch from its own equations, exactly where they suffice.

Where the equations are as many as the unknowns, least squares; else vertices (`core.reconstruction.patches.vertices`),
and the programme over all patches (`core.reconstruction.patches.programme`) for those that are none.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.reconstruction.patches.equations import PatchEquations
from core.reconstruction.patches.programme import ImageProgramme
from core.reconstruction.patches.vertices import SHARP, Vertex, VertexSearch

PAPERS = {"black": 0.0, "white": 1.0}
PASSES = 2         # of the programme under noise: the noise of a patch goes with its scale, known after the first
NEAR = 0.25        # deviation of the pixels of least squares, below which box and prior come near the patch
FITS = 10.0        # times their noise: what equations may be off


@dataclass(frozen=True)
class Single:
    """One image and which of its patches are proven."""

    x: Tensor          # [C, H, W] in [0, 1]
    proven: Tensor     # [T] bool: the equations that are left over hold, and the scale is the patch's own
    near: Tensor       # [T] bool: proven, or known up to a noise that the equations themselves tell
    outside: float     # of the pixels, mean distance from [0, 1] before clipping
    background: str    # "black" or "white", of what is preferred in patches that are not proven; "" where all are


def single_image(equations: PatchEquations, *, tv: float, sparsity: float, starts: int,
                 should_stop: Callable[[], bool] = lambda: False,
                 found_one: Callable[[int, dict[int, list[Vertex]]], None] = lambda place, found: None) -> Single:
    """The image; `tv` and `sparsity` weigh what is preferred where equations and box leave it open.

    `found_one` hears after each place what is proven so far.
    """
    search, inputs = VertexSearch(equations, seed=0), equations.inputs
    T = len(equations.right)
    if search.free == 0:
        solved = [search.solved(place) for place in range(T)]
        x = inputs.images(torch.from_numpy(np.stack([patch for patch, _ in solved]))[None])[0]
        outside = float((x - x.clamp(0, 1)).abs().mean())
        if all(proven for _, proven in solved) or not _noisy(search, solved):
            sure = torch.tensor([proven for _, proven in solved])
            return Single(x.clamp(0, 1), sure, sure, outside, "")
    found: dict[int, list[Vertex]] = {}
    for place in range(T if search.free else 0):
        found[place] = search.at(place, wanted=1, starts=starts, should_stop=should_stop)
        found_one(place, found)
    known = {place: vertices[0].patch for place, vertices in found.items() if vertices}
    drawn = {}
    for paper, level in PAPERS.items():
        scales = None
        for _ in range(1 if search.free else PASSES):
            x, _, slack = ImageProgramme(equations, tv=tv, sparsity=sparsity, background=level, known=known,
                                         scales=scales).solve()
            scales = inputs.scale(inputs.patches(x[None]))[0].numpy()
        drawn[paper] = (round(slack, 1), float((x - level).abs().sum()), x)
        if len(known) == T:
            break
    # Whose ink is less, the slacks being alike: on which paper a picture is, is decided by the facts.
    background = min(drawn, key=lambda paper: drawn[paper][:2])
    x = drawn[background][2]
    proven = torch.tensor([place in known for place in range(T)])
    near = proven
    if search.free == 0:
        patches = inputs.patches(x[None])[0]
        off = equations.misfit(patches, inputs.scale(patches))
        near = torch.tensor([search.deviation(place, patches[place].numpy()) < NEAR and float(off[place]) < FITS
                             for place in range(T)])
    return Single(x, proven, near, 0.0, "" if len(known) == T else background)


def _noisy(search: VertexSearch, solved: list[tuple[np.ndarray, bool]]) -> bool:
    """Whether noise alone may be what keeps patches from being proven: then box and prior have a say."""
    return max(search.deviation(place, patch) for place, (patch, _) in enumerate(solved)) > SHARP
