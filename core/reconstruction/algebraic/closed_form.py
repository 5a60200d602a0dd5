"""What needs no programme: one sample under a bias gradient, and the coefficient of an image that is known."""

import copy

from torch import Tensor

from core.models.mlp import MLP, tangent_features
from core.threat.layer_update import LayerUpdate


def single_input(update: LayerUpdate) -> Tensor:
    """The input z [D] of the one sample of a full first-layer change with bias: dW = u z^T and db = u.

    z = dW^T db / |db|^2: each row is dW_j / db_j, averaged with the weights that rounding asks for.
    """
    bias = update.B @ update.A[:, -1]                    # dW | db = B A
    return (update.A[:, :-1].T @ (update.B.T @ bias)) / bias.square().sum()


def coefficient(network: MLP, x: Tensor, signal: Tensor, factor: float) -> float:
    """k of image x [D], where the first layer shows `signal` [n] = k e / `factor` in its update."""
    image = x.view(1, *network.image_shape)
    weights = [layer.weight.detach().cpu().double() for layer in network.layers]
    e = tangent_features(copy.deepcopy(network).double(), image, weights).signals[0][0]
    return float(signal @ e / e.square().sum().clamp(min=1e-300)) * factor
