"""What the certificate of a released adapter says of images."""

from typing import Any

import torch
from torch import Tensor

from core.models.mlp import MLP
from core.reconstruction.certificate.projector import Certificate, certificate
from core.threat.observation import Observation


def first_layer(observation: Observation) -> Certificate | None:
    """The first layer's, whose inputs are the private ones themselves; None where none follows from what was released
    (no adapter, an adapter elsewhere only, one that began with A = 0, or whose B has no clear rank below its own)."""
    factors = observation.factors("layers.0")
    if factors is None or factors.a_began_at_zero or not bool(factors.B.any()):
        return None
    return certificate(factors.B.detach().cpu(), factors.A.detach().cpu(),
                       precision=torch.finfo(factors.B.dtype).eps)


def audited(found: Certificate, network: MLP, x: Tensor) -> dict[str, Any]:
    """Equations, rank and the residual of each image x [N, C, H, W] in [0, 1], for a report."""
    residual = found.residual(network.centre(x.cpu().double()))
    return {"equations": found.equations, "rank": found.rank, "residual": residual.tolist()}
