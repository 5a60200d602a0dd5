"""All patches of one image in one linear programme: for ranks whose equations leave pixels open.

    minimise    a |x - background|_1 + b TV(x) + sum_k w_k |slack_k|
    over        x in [0, 1]^(C H W), s_t > 0
    such that   left @ (x_t, s_t) + slack_t = right_t for every patch t

TV runs over the whole image, so that it joins the patches across their borders. The left sides are orthonormalised,
and a direction's price w_k is one over its noise, up to a bound. Solved by HiGHS.
"""

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import linprog
from torch import Tensor

from core.models.vision_transformer import PatchInputs
from core.reconstruction.patches.equations import PatchEquations

KNOWN = 0.1     # singular value of the left side, whose noise is a scale, above which a direction is known
SLACK = 1e3     # highest price of a violated equation beside a prior of about 1 a pixel


class ImageProgramme:
    """The programme of one image, built once and solved for several objectives."""

    def __init__(self, equations: PatchEquations, *, tv: float, sparsity: float, background: float = 0.0,
                 known: Mapping[int, np.ndarray] | None = None, scales: np.ndarray | None = None) -> None:
        """`known` patches [D], by their place, are kept as they are; `scales` [T] of the patches set the noise."""
        self.inputs, self.T = equations.inputs, len(equations.right)
        self.pixels = int(np.prod(self.inputs.image_shape))
        rows, right, weights = orthonormal(equations)
        place = _places(self.inputs)                                    # [T, D] pixel of each place
        self.place, D = place, place.shape[1]
        # Columns: pixels, scales, slack up and down, variation up and down.
        k = len(rows)
        block = np.repeat(np.arange(self.T * k), D + 1)
        columns = np.concatenate([np.concatenate([place, self.pixels + np.arange(self.T)[:, None]], 1)[:, None]
                                  .repeat(k, 1)]).ravel()
        facts = sparse.csr_matrix((np.tile(rows.numpy(), (self.T, 1)).ravel(), (block, columns)),
                                  shape=(self.T * k, self.pixels + self.T))
        edges = _edges(self.inputs.image_shape)
        E = len(edges[0])
        differences = sparse.csr_matrix((np.r_[np.ones(E), -np.ones(E)], (np.tile(np.arange(E), 2), np.concatenate(
            edges))), shape=(E, self.pixels + self.T))
        K = self.T * k
        eye, none = sparse.eye(K), sparse.csr_matrix
        self.A = sparse.vstack([
            sparse.hstack([facts, eye, -eye, none((K, 2 * E))]),
            sparse.hstack([differences, none((E, 2 * K)), sparse.eye(E), -sparse.eye(E)])]).tocsr()
        self.b = np.concatenate([right.numpy().ravel(), np.zeros(E)])
        self.slack = slice(self.pixels + self.T, self.pixels + self.T + 2 * K)
        ink = sparsity * (1 - 2 * background)   # distance from the background is linear within the box
        low, high = scale_range(self.inputs)
        scales = np.sqrt(low * high) if scales is None else scales
        price = np.minimum(SLACK, weights.numpy() / scales[:, None]).ravel()
        self.cost = np.concatenate([np.full(self.pixels, ink), np.zeros(self.T), price, price, np.full(2 * E, tv)])
        self.bounds = np.concatenate([np.tile([0.0, 1.0], (self.pixels, 1)), np.stack([low, high], 1),
                                      np.tile([0.0, np.inf], (2 * K + 2 * E, 1))])
        for t, patch in (known or {}).items():
            self.bounds[place[t]] = np.repeat(patch[:, None], 2, axis=1)

    def solve(self) -> tuple[Tensor, Tensor, float]:
        """Image [C, H, W] in [0, 1], scales [T], and the sum of the slacks; raises `RuntimeError` where HiGHS fails."""
        found = linprog(self.cost, A_eq=self.A, b_eq=self.b, bounds=self.bounds, method="highs-ipm")
        if found.x is None:
            raise RuntimeError(f"HiGHS: {found.message}")
        x = torch.from_numpy(found.x[:self.pixels]).view(self.inputs.image_shape)
        scale = torch.from_numpy(found.x[self.pixels:self.pixels + self.T])
        return x.clamp(0, 1), scale, float(found.x[self.slack].sum())


def orthonormal(equations: PatchEquations) -> tuple[Tensor, Tensor, Tensor]:
    """Rows [k, D + 1] that span the left side, the right sides [T, k] that go with them, and one over the noise [k] of
    each, for a patch of scale 1."""
    U, S, Vh = torch.linalg.svd(equations.left, full_matrices=False)
    k = int((S > KNOWN).sum())
    return Vh[:k].contiguous(), (equations.right @ U[:, :k]) / S[:k], S[:k]


def scale_range(inputs: PatchInputs) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest scale [T] that a patch in [0, 1] is given: half of the least and twice the largest among flat
    patches and black and white ones at random."""
    T, D = len(inputs.offset), inputs.embedding.shape[1]
    generator = torch.Generator().manual_seed(0)
    inked = torch.rand(64, T, D, generator=generator) < torch.rand(64, T, 1, generator=generator)
    tried = torch.cat([torch.zeros(1, T, D), torch.ones(1, T, D), inked]).double()
    scales = inputs.scale(tried)
    return (0.5 * scales.min(0).values).numpy(), (2 * scales.max(0).values).numpy()


def _places(inputs: PatchInputs) -> np.ndarray:
    index = torch.arange(int(np.prod(inputs.image_shape)), dtype=torch.float64).view(1, *inputs.image_shape)
    return inputs.patches(index)[0].long().numpy()


def _edges(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(int(np.prod(shape))).reshape(shape)
    return (np.concatenate([index[:, 1:].ravel(), index[:, :, 1:].ravel()]),
            np.concatenate([index[:, :-1].ravel(), index[:, :, :-1].ravel()]))
