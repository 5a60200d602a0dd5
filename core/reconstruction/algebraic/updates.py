"""Updates of a layer in one form, whatever was released: B = sum_i k_i e_i (A h_i)^T plus noise.

For an adapter, B and A are its factors. A full weight change dW is B with A the identity: what a sample
measures is then k_i h_i itself, every pixel. A change of the bias is the column of the constant input 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.threat.observation import AdapterDelta, WeightDelta

TYPICAL = 0.3   # size of a centred pixel: gives scales their order of magnitude


@dataclass(frozen=True)
class LayerUpdate:
    """One layer, float64 on the CPU. Its input is (h, 1) where `with_bias`, else h."""

    B: Tensor             # [n_out, r]
    A: Tensor             # [r, n_in] or [r, n_in + 1]
    with_bias: bool
    precision: float      # relative rounding of a stored entry
    floor: float          # spectral norm that rounding alone may have, whatever B is
    scaling: float        # of an adapter, whose A is trained too; 0 where A is no factor but the identity
    blurred: bool = False   # what a sample measures is h only on average (`core.threat.merged`)


def layer_updates(observation: AdapterDelta | WeightDelta) -> dict[int, LayerUpdate]:
    """The updates of all layers that changed, by the number of the layer."""
    if isinstance(observation, WeightDelta):
        return {_level(name): _full(observation, name) for name in observation.layers}
    found = {}
    for name, factors in observation.layers.items():
        if bool(factors.B.any()):
            A = factors.A.detach().cpu().double()
            found[_level(name)] = LayerUpdate(factors.B.detach().cpu().double() / factors.scaling, A, False,
                                              torch.finfo(factors.B.dtype).eps,
                                              factors.noise / abs(factors.scaling), factors.scaling)
    return found


def _full(observation: WeightDelta, name: str) -> LayerUpdate:
    matrix = observation.matrix(name).detach().cpu().double()
    everything = torch.eye(matrix.shape[1], dtype=torch.float64)
    return LayerUpdate(matrix, everything, name in observation.biases, 0.0, observation.noise.get(name, 0.0), 0.0,
                       observation.merged)


def _level(name: str) -> int:
    return int(name.split(".")[1])
