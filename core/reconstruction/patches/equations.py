"""What an adapter of a transformer's first block says of each patch: linear equations in its pixels and its scale.

By the certificate (`core.reconstruction.certificate.projector`), C = P A_T annihilates every private input h_t of the
projection, after any number of gradient steps. With h_t as in `core.models.vision_transformer`, K = C gain (1 - mean):

    C h_t = 0   <=>   K E x_t + (C shift) s_t = - K o_t,

linear in the pixels x_t and the scale s_t, for each patch by itself, and with the same left side for all of them. The
equations of all adapted projections of the block are stacked. Keys are a case apart: softmax ignores what is common to
all keys, so row(B) lies in span{A (h_t - h_0)}, and (shift - h_0) takes the place of shift.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.models.vision_transformer import PatchInputs
from core.reconstruction.certificate.projector import certificate
from core.threat.observation import TransformerAdapter

BLOCK = "vit.layers.0.attention."
PROJECTIONS = {"q_proj": "queries", "k_proj": "keys", "v_proj": "values"}


@dataclass(frozen=True)
class Projection:
    """One adapted projection of the first block."""

    name: str
    r: int
    rank: int | None    # of B, the number of private inputs it was given; None where no cliff shows it
    tokens: int | None  # patches in all images, by that rank

    @property
    def equations(self) -> int:
        return 0 if self.rank is None else self.r - self.rank


@dataclass(frozen=True)
class PatchEquations:
    """Left side @ (x_t, s_t) = right_t for every patch t, rows weighted to a noise of s_t. Float64."""

    left: Tensor        # [e, D + 1]
    right: Tensor       # [T, e]
    inputs: PatchInputs
    projections: tuple[Projection, ...]

    @property
    def images(self) -> int:
        """The fewest images N that explain the ranks: patches that several images share count once there."""
        most = max((projection.tokens for projection in self.projections if projection.tokens), default=0)
        return -(-most // len(self.inputs.offset))

    @property
    def unknowns(self) -> int:
        """Of one patch: its pixels and its scale."""
        return self.left.shape[1]

    def misfit(self, patches: Tensor, scale: Tensor) -> Tensor:
        """Root mean square violation of each patch's equations, in units of their noise: 1 where they hold as well as
        rounding lets them. Patches [..., T, D], scale [..., T]."""
        z = torch.cat([patches, scale[..., None]], dim=-1)
        return (z @ self.left.T - self.right).square().mean(-1).sqrt() / scale


def patch_equations(observation: TransformerAdapter) -> PatchEquations:
    """Of all adapted projections of the first block; with no rows where none shows a rank below its own."""
    inputs = observation.network.patch_inputs()
    left, right, projections = [], [], []
    for name, words in PROJECTIONS.items():
        factors = observation.factors(BLOCK + name)
        if factors is None:
            continue
        B, A = factors.B.detach().cpu(), factors.A.detach().cpu().double()
        keys = name == "k_proj"
        found = certificate(B, A, precision=torch.finfo(B.dtype).eps) if bool(B.any()) else None
        if found is None:
            projections.append(Projection(words, len(A), None, None))
            continue
        projections.append(Projection(words, len(A), found.rank, found.rank - (0 if keys else 1)))
        shift = inputs.shift - inputs.public if keys else inputs.shift
        K = found.C * inputs.gain
        K = K - K.mean(1, keepdim=True)
        rows = torch.cat([K @ inputs.embedding, (found.C @ shift)[:, None]], dim=1)
        noise = _noise(B, A, found.rank, inputs)
        left.append(rows / noise)
        right.append(-(inputs.offset @ K.T) / noise)
    D, T = inputs.embedding.shape[1], len(inputs.offset)
    return PatchEquations(torch.cat([torch.zeros(0, D + 1, dtype=torch.float64), *left]),
                          torch.cat([torch.zeros(T, 0, dtype=torch.float64), *right], dim=1), inputs,
                          tuple(projections))


def _noise(B: Tensor, A: Tensor, rank: int, inputs: PatchInputs) -> float:
    """Deviation of an equation for a patch of scale 1: rounding turns the weakest direction of row(B) by the first
    singular value beyond the rank over the last one within, and an input leans into the projector by that share of a
    measurement A h."""
    values = torch.linalg.svdvals(B.double())
    lean = max(float(values[rank] / values[rank - 1]), torch.finfo(B.dtype).eps)
    h = inputs.inputs(torch.full((len(inputs.offset), inputs.embedding.shape[1]), 0.5, dtype=torch.float64))
    return lean * float((h @ A.T).square().mean().sqrt())
