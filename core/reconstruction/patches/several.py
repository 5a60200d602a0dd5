"""Patches of several private images: which are proven at each place, and which of them belong together.

With N images the solutions of a place are an affine set that holds the N patches there and, since the left side is the
same at every place, each of them moved by the differences between two patches of *any* place. Such a move proves itself
as well as a patch does where the difference is a faint or a lone one. The differences of one patch and another at the
same place are independent, and as many as the open directions: a second patch whose difference follows from those of
other places, which are known better, is dropped.

Which patch belongs to which image the equations do not say. It is decided by borders: neighbours that go together
differ least along their common edge. That is a guess, and said to be one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from core.reconstruction.patches.equations import PatchEquations
from core.reconstruction.patches.vertices import Vertex, VertexSearch

INDEPENDENT = 0.05   # of a unit vector: what a difference has beyond the span of the others
CLEAR = 1.5          # deviations of the scale within which a second patch is believed
SPARE = 6            # equations that are left over, at the least, of a second patch
FLAT = 0.02          # of the range of pixels: a patch of one tone, which images often share
SWEEPS = 10          # over all places, of the pairing
APART = 0.3          # mean difference along an edge of patches that do not belong together


@dataclass(frozen=True)
class Several:
    """N images, and which of their patches are proven; the others are left at 0."""

    x: Tensor          # [N, C, H, W] in [0, 1]; where one patch of one tone was found, all images are given it
    proven: Tensor     # [N, T] bool
    paired: bool       # whether there was anything to pair


def several_images(equations: PatchEquations, N: int, *, starts: int, should_stop: Callable[[], bool] = lambda: False,
                   found_one: Callable[[int, dict[int, list[Vertex]]], None] = lambda place, found: None) -> Several:
    """Up to N proven patches at each place, put together to images."""
    search, T = VertexSearch(equations, seed=0), len(equations.right)
    found: dict[int, list[Vertex]] = {}
    for place in range(T):
        found[place] = search.at(place, wanted=N, starts=starts, should_stop=should_stop)
        found_one(place, found)
    kept = without_moved(found, search.free)
    return _put_together(equations, kept, N)


def without_moved(found: dict[int, list[Vertex]], free: int) -> dict[int, list[Vertex]]:
    """Each place's first patch, and of the others those whose difference from it is one of its own."""
    kept = {place: vertices[:1] for place, vertices in found.items()}
    others = sorted(((vertex.scale_error, -vertex.spare, place, index) for place, vertices in found.items()
                     for index, vertex in enumerate(vertices[1:], 1)))
    known: list[np.ndarray] = []
    for error, _, place, index in others:
        vertex, first = found[place][index], found[place][0]
        difference = np.append(vertex.patch - first.patch, vertex.scale - first.scale)
        difference /= np.linalg.norm(difference)
        if error > CLEAR or vertex.spare < SPARE or len(known) >= free:
            continue
        if known:
            basis = np.linalg.qr(np.array(known).T)[0]
            if np.linalg.norm(difference - basis @ (basis.T @ difference)) < INDEPENDENT:
                continue
        known.append(difference)
        kept[place].append(vertex)
    return kept


def _put_together(equations: PatchEquations, kept: dict[int, list[Vertex]], N: int) -> Several:
    inputs = equations.inputs
    T, D = len(equations.right), inputs.embedding.shape[1]
    patches, proven = np.zeros((N, T, D)), np.zeros((N, T), dtype=bool)
    for place, vertices in kept.items():
        for image, vertex in enumerate(vertices[:N]):
            patches[image, place], proven[image, place] = vertex.patch, True
    choices = [place for place, vertices in kept.items() if vertices]
    if choices:
        _pair(patches, proven, inputs.image_shape, inputs.size, choices)
    for place, vertices in kept.items():
        if len(vertices) == 1 and np.ptp(vertices[0].patch) < FLAT:
            patches[~proven[:, place], place] = vertices[0].patch
    x = inputs.images(torch.from_numpy(patches))
    return Several(x, torch.from_numpy(proven), bool(choices))


def _pair(patches: np.ndarray, proven: np.ndarray, shape: tuple[int, int, int], size: int, choices: list[int]) -> None:
    """Permute the images at each place, in place, until no borders get closer by another order."""
    N, _, _ = patches.shape
    columns = shape[2] // size
    orders = [list(order) for order in _orders(N)]

    def border(place: int) -> float:
        return sum(_edge(patches, proven, place, other, columns, shape[0], size)
                   for other in (place - 1, place + 1, place - columns, place + columns)
                   if 0 <= other < patches.shape[1] and (other in (place - columns, place + columns)
                                                         or other // columns == place // columns))

    for _ in range(SWEEPS):
        before = patches.copy()
        for place in choices:
            held, known = patches[:, place].copy(), proven[:, place].copy()
            best = None
            for order in orders:
                patches[:, place], proven[:, place] = held[order], known[order]
                cost = border(place)
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, order)
            patches[:, place], proven[:, place] = held[best[1]], known[best[1]]
        if np.array_equal(before, patches):
            return


def _orders(N: int) -> list[tuple[int, ...]]:
    """All orders of few images; of many, those that swap two."""
    if N <= 4:
        return [order for order in product(range(N), repeat=N) if len(set(order)) == N]
    swaps = [tuple(range(N))]
    for a in range(N):
        for b in range(a):
            order = list(range(N))
            order[a], order[b] = b, a
            swaps.append(tuple(order))
    return swaps


def _edge(patches: np.ndarray, proven: np.ndarray, place: int, other: int, columns: int, channels: int,
          size: int) -> float:
    """Sum over the images of the differences along the common edge, where both patches are proven, less what edges
    differ by that do not belong together."""
    a, b = (patches[:, index].reshape(-1, channels, size, size) for index in (place, other))
    edges = {1: (a[..., -1], b[..., 0]), -1: (a[..., 0], b[..., -1]),
             columns: (a[..., -1, :], b[..., 0, :]), -columns: (a[..., 0, :], b[..., -1, :])}
    first, second = edges[other - place]
    both = proven[:, place] & proven[:, other]
    return float((np.abs(first - second).mean((1, 2)) - APART)[both].sum())
