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


@dataclass(frozen=True)
class WeightDelta:
    """A fully fine-tuned network beside its base: theta_T - theta_0 of the layers that changed, by ``layers.i``."""

    network: MLP                # the base, theta_0
    layers: dict[str, Tensor]   # [n_out, n_in]
    biases: dict[str, Tensor]   # [n_out]; a layer without a bias, or whose bias did not change, has no entry
    threat: ThreatModel


@dataclass(frozen=True)
class TrainedWeights:
    """A trained network alone: a checkpoint, or a base with its update composed into it."""

    network: MLP                # theta_T
    threat: ThreatModel
    base: MLP | None = None     # theta_0, where it is published


Observation = AdapterDelta | WeightDelta | TrainedWeights
