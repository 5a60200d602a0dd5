"""What a threat releases. Ground truth is never an attribute of an observation."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from core.artifacts.factors import Factors
from core.models.mlp import MLP
from core.models.vision_transformer import VisionTransformer
from core.threat.compose import add, compose
from core.threat.layer_update import LayerUpdate
from core.threat.model import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Released:
    """What all observations have. What only some can answer is None of the others, so that nobody asks for a type."""

    kind: ClassVar[str]               # a method says which kinds it accepts
    stores_network: ClassVar[bool] = True   # the release is a whole network, whose rounding hides a small update

    merged: bool = False             # the changes are scaling * B A of an adapter whose A is not known
    inputs_said: str = ""            # where what was done to the pixels is said, and how it was read; empty: nowhere
    notes: tuple[str, ...] = ()      # sentences for the report's limits

    def factors(self, name: str) -> Factors | None:
        """The factors of an adapted layer."""
        return None

    def rank(self, name: str) -> int | None:
        """The number r of what each input of a layer was measured by; None where its inputs show themselves."""
        factors = self.factors(name)
        return None if factors is None or factors.a_began_at_zero else len(factors.A)


@dataclass(frozen=True)
class AdapterDelta(Released):
    """A published LoRA adapter beside its base. `layers` maps ``layers.i`` to its factors."""

    kind: ClassVar[str] = "adapter"
    words: ClassVar[str] = "a LoRA adapter"
    stores_network: ClassVar[bool] = False

    network: MLP
    layers: dict[str, Factors]
    threat: ThreatModel

    def factors(self, name: str) -> Factors | None:
        return self.layers.get(name)

    def matrix(self, name: str) -> Tensor:
        """What holds a layer's update, as it is stored: B [n_out, r], or A^T [n_in, r] where A began at zero."""
        factors = self.layers[name]
        return factors.A.T if factors.a_began_at_zero else factors.B

    def rounding(self, name: str) -> float:
        """Spectral norm of `matrix` that is noise beyond its stored precision."""
        return self.layers[name].noise

    def layer_update(self, name: str) -> LayerUpdate | None:
        """None where the layer was not trained."""
        factors = self.layers[name]
        if not bool(self.matrix(name).any()):
            return None
        if factors.a_began_at_zero:
            A = factors.A.detach().cpu().double()
            return LayerUpdate(A / factors.scaling, torch.eye(A.shape[1], dtype=A.dtype), False,
                               torch.finfo(factors.A.dtype).eps, 0.0, 0.0, factors.B.detach().cpu().double().T)
        return LayerUpdate(factors.B.detach().cpu().double() / factors.scaling, factors.A.detach().cpu().double(),
                           False, torch.finfo(factors.B.dtype).eps, factors.noise / abs(factors.scaling),
                           factors.scaling)

    def composed(self) -> "TrainedWeights":
        """theta_T, as an attack on trained weights alone takes it."""
        return TrainedWeights(compose(self.network, self.layers), self.threat, self.network)


@dataclass(frozen=True)
class TransformerAdapter(Released):
    """A published LoRA adapter beside its base, a vision transformer. `layers` maps module names to factors."""

    kind: ClassVar[str] = "transformer adapter"
    words: ClassVar[str] = "a LoRA adapter of a vision transformer"
    stores_network: ClassVar[bool] = False

    network: VisionTransformer
    layers: dict[str, Factors]
    threat: ThreatModel

    def factors(self, name: str) -> Factors | None:
        return self.layers.get(name)


@dataclass(frozen=True)
class WeightDelta(Released):
    """A fully fine-tuned network beside its base: theta_T - theta_0 of the layers that changed, by ``layers.i``."""

    kind: ClassVar[str] = "weight change"
    words: ClassVar[str] = "the change of all fine-tuned weights"

    network: MLP                # the base, theta_0
    layers: dict[str, Tensor]   # [n_out, n_in]
    biases: dict[str, Tensor]   # [n_out]; a layer without a bias, or whose bias did not change, has no entry
    threat: ThreatModel
    # Spectral norm that rounding of the stored weights alone may have, by layer; it does not shrink with the update.
    noise: dict[str, float] = field(default_factory=dict)

    def matrix(self, name: str) -> Tensor:
        """[dW | db] of a layer, [n_out, n_in + 1], or dW alone: sum_i k_i e_i (h_i, 1)^T in the NTK regime."""
        bias = self.biases.get(name)
        return self.layers[name] if bias is None else torch.cat([self.layers[name], bias[:, None]], dim=1)

    def rounding(self, name: str) -> float:
        """Spectral norm of `matrix` that rounding of the stored weights alone may have."""
        return self.noise.get(name, 0.0)

    def layer_update(self, name: str) -> LayerUpdate | None:
        matrix = self.matrix(name).detach().cpu().double()
        return LayerUpdate(matrix, torch.eye(matrix.shape[1], dtype=torch.float64), name in self.biases, 0.0,
                           self.rounding(name), 0.0, blurred=self.merged)

    def composed(self) -> "TrainedWeights":
        """theta_T, as an attack on trained weights alone takes it."""
        return TrainedWeights(add(self.network, self.layers, self.biases), self.threat, self.network)


@dataclass(frozen=True)
class TrainedWeights(Released):
    """A trained network alone: a checkpoint, or a base with its update composed into it."""

    kind: ClassVar[str] = "trained weights"

    network: MLP                # theta_T
    threat: ThreatModel
    base: MLP | None = None     # theta_0, where it is published

    def composed(self) -> "TrainedWeights":
        return self


Update = AdapterDelta | WeightDelta
Trained = Update | TrainedWeights   # of what a whole network of trained weights follows
Observation = Trained | TransformerAdapter
