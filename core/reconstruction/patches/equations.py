"""What an adapter of a transformer's first block says of each patch: linear equations in its pixels and its scale.

By the certificate (`core.reconstruction.certificate.projector`), C = P A_T annihilates every private input h_t of the
projection, after any number of gradient steps. With h_t as in `core.models.vision_transformer`, K = C gain (1 - mean):

    C h_t = 0   <=>   K E x_t + (C shift) s_t = - K o_t,

linear in the pixels x_t and the scale s_t, for each patch by itself, and with the same left side for all of them. The
equations of all adapted projections of the block are stacked. Keys are a case apart: softmax ignores what is common to
all keys, so row(B) lies in span{A (h_t - h_0)}, and (shift - h_0) takes the place of shift.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.models.vision_transformer import PatchInputs
from core.reconstruction.certificate.projector import Certificate, certificate
from core.reconstruction.patches.first_step import first_step
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
    first_step: bool = False    # read through the epsilon of an adaptive optimiser


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


@dataclass(frozen=True)
class Certified:
    """What an adapter says of a projection, whatever was done to the pixels."""

    name: str
    r: int
    certificate: Certificate | None
    lean: float        # how far measurements lean out of its rows by noise, relative to their length
    first_step: bool   # of an adaptive optimiser


def certified(observation: TransformerAdapter) -> list[Certified]:
    """Of all adapted projections of the first block."""
    inputs = observation.network.patch_inputs()
    return [Certified(name, len(factors.A), *_certified(factors.B.detach().cpu(), factors.A.detach().cpu().double(),
                                                        inputs, keys=name == "k_proj"))
            for name in PROJECTIONS if (factors := observation.factors(BLOCK + name)) is not None]


def patch_equations(observation: TransformerAdapter, found: Sequence[Certified] | None = None) -> PatchEquations:
    """Of all adapted projections of the first block; with no rows where none shows a rank below its own. `found`: what
    `certified` says of the same adapter."""
    inputs = observation.network.patch_inputs()
    left, right, projections = [], [], []
    for each in certified(observation) if found is None else found:
        keys, words, certificate = each.name == "k_proj", PROJECTIONS[each.name], each.certificate
        if certificate is None:
            projections.append(Projection(words, each.r, None, None))
            continue
        projections.append(Projection(words, each.r, certificate.rank, certificate.rank - (0 if keys else 1),
                                      each.first_step))
        shift = inputs.shift - inputs.public if keys else inputs.shift
        K = certificate.C * inputs.gain
        K = K - K.mean(1, keepdim=True)
        rows = torch.cat([K @ inputs.embedding, (certificate.C @ shift)[:, None]], dim=1)
        noise = each.lean * float((_grey(inputs) @ certificate.A.T).square().mean().sqrt())
        left.append(rows / noise)
        right.append(-(inputs.offset @ K.T) / noise)
    D, T = inputs.embedding.shape[1], len(inputs.offset)
    return PatchEquations(torch.cat([torch.zeros(0, D + 1, dtype=torch.float64), *left]),
                          torch.cat([torch.zeros(T, 0, dtype=torch.float64), *right], dim=1), inputs,
                          tuple(projections))


def _certified(B: Tensor, A: Tensor, inputs: PatchInputs, *, keys: bool) -> tuple[Certificate | None, float, bool]:
    """The certificate of a projection, how far measurements lean out of its rows by noise, and whether it comes from
    the first step of an adaptive optimiser, of one image."""
    eps = torch.finfo(B.dtype).eps
    found = certificate(B, A, precision=eps) if bool(B.any()) else None
    if found is not None:
        # Rounding turns the weakest direction by the first singular value beyond the rank over the last one within.
        values = torch.linalg.svdvals(B.double())
        return found, max(float(values[found.rank] / values[found.rank - 1]), eps), False
    rank = len(inputs.offset) + (0 if keys else 1)
    step = first_step(B, rank=rank) if bool(B.any()) else None
    if step is None:
        return None, 0.0, False
    h = _grey(inputs) - (inputs.public if keys else 0)
    return Certificate(step.basis[:, rank:], A), max(step.lean(h @ A.T), eps), True


def _grey(inputs: PatchInputs) -> Tensor:
    """h [3 T, d] of black, grey and white patches, as public stand-ins for private ones."""
    T, D = len(inputs.offset), inputs.embedding.shape[1]
    levels = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)[:, None, None].expand(3, T, D)
    return inputs.inputs(levels).flatten(0, 1)
