"""What a threat releases. Ground truth is never an attribute of an observation."""

from dataclasses import dataclass

from torch import Tensor

from core.models.mlp import MLP
from core.threat.model import ThreatModel


@dataclass(frozen=True)
class Factors:
    """One layer's LoRA factors: the update is scaling * B @ A; kept factored, never multiplied out."""

    A: Tensor        # [r, n_in]
    B: Tensor        # [n_out, r]
    scaling: float   # alpha / r (or alpha / sqrt(r) for rsLoRA)


@dataclass(frozen=True)
class AdapterDelta:
    """A published LoRA adapter beside its base. `layers` maps ``layers.i`` to its factors."""

    network: MLP
    layers: dict[str, Factors]
    threat: ThreatModel
