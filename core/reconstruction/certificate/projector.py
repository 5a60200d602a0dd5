"""The certificate of an adapter: linear equations that every private input of a layer with still inputs obeys.

With B_0 = 0 and gradient descent (minibatches, momentum and schedules included; not Adam), row(B_T) lies in
span{A_0 h_i} and the columns of A_T - A_0 lie in it as well, so with P the projector off row(B_T)

    C = P A_T = P A_0,    C h_i = 0 for every private input h_i, after any number T of steps,

provided that rank B_T is that of the inputs, q < r (Oxman 2026). That is r - q equations an input, in the first layer
affine in the pixels. They say what an image must obey, never that it is private: every blend of private inputs obeys
them too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.threat.spectrum import ROUNDING, cliff


@dataclass(frozen=True)
class Certificate:
    """Equations of one adapted layer, float64."""

    off: Tensor     # [r, r - q], orthonormal basis of what P keeps
    A: Tensor       # [r, n_in], A_T as released

    @property
    def rank(self) -> int:
        """q, of B_T."""
        return len(self.off) - self.equations

    @property
    def equations(self) -> int:
        return self.off.shape[1]

    @property
    def C(self) -> Tensor:
        """[r - q, n_in], P A_T in that basis."""
        return self.off.T @ self.A

    def residual(self, h: Tensor) -> Tensor:
        """|C h| / |A h| of inputs h [..., n_in]: 0 of a private one, and about sqrt((r - q) / r) of any other.

        Free of scale, so that neither a blank nor a faint image wins by being small.
        """
        return (h @ self.C.T).norm(dim=-1) / (h @ self.A.T).norm(dim=-1).clamp(min=1e-300)


def certificate(B: Tensor, A: Tensor, *, precision: float) -> Certificate | None:
    """The equations of B [n, r] and A [r, n_in]; None where B's rank is unclear, or leaves none over.

    `precision` is the relative one in which B was stored, as ``torch.finfo(dtype).eps``: the rank is counted above it.
    """
    _, values, Vh = torch.linalg.svd(B.double(), full_matrices=True)
    rank = cliff(values, ROUNDING * precision * float(values[0]))
    if rank is None:
        return None
    return Certificate(Vh[rank:].T, A.double())
