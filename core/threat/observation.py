"""What a threat releases. Ground truth is never an attribute of an observation."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.models.mlp import MLP
from core.threat.model import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the released files say in words beside their numbers."""

    inputs_said: str = ""            # where what was done to the pixels is said, and how it was read; empty: nowhere
    notes: tuple[str, ...] = ()      # sentences for the report's limits


@dataclass(frozen=True)
class AdapterDelta(Said):
    """A published LoRA adapter beside its base. `layers` maps ``layers.i`` to its factors."""

    kind: ClassVar[str] = "adapter"

    network: MLP
    layers: dict[str, Factors]
    threat: ThreatModel


@dataclass(frozen=True)
class WeightDelta(Said):
    """A fully fine-tuned network beside its base: theta_T - theta_0 of the layers that changed, by ``layers.i``."""

    kind: ClassVar[str] = "weight change"

    network: MLP                # the base, theta_0
    layers: dict[str, Tensor]   # [n_out, n_in]
    biases: dict[str, Tensor]   # [n_out]; a layer without a bias, or whose bias did not change, has no entry
    threat: ThreatModel
    # Spectral norm that rounding of the stored weights alone may have, by layer; it does not shrink with the update.
    noise: dict[str, float] = field(default_factory=dict)
    merged: bool = False   # the changes are scaling * B A of an adapter whose A is not known

    def matrix(self, name: str) -> Tensor:
        """[dW | db] of a layer, [n_out, n_in + 1], or dW alone: sum_i k_i e_i (h_i, 1)^T in the NTK regime."""
        bias = self.biases.get(name)
        return self.layers[name] if bias is None else torch.cat([self.layers[name], bias[:, None]], dim=1)


@dataclass(frozen=True)
class TrainedWeights(Said):
    """A trained network alone: a checkpoint, or a base with its update composed into it."""

    kind: ClassVar[str] = "trained weights"

    network: MLP                # theta_T
    threat: ThreatModel
    base: MLP | None = None     # theta_0, where it is published


Observation = AdapterDelta | WeightDelta | TrainedWeights
