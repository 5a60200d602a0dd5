"""Feature stability: whether a sample's tangent features at theta_t are still those at theta_0.

The feature of sample i is the gradient of its logit with respect to every weight and bias,
1.8 million numbers for 784-1000-1000-1. Each layer's part is an outer product, so inner products
follow from the factors and the gradients are never built.
"""

import torch
from torch import Tensor

from core.models.mlp import MLP, TangentFeatures


def feature_products(network: MLP, left: TangentFeatures, right: TangentFeatures) -> Tensor:
    """Inner product of each sample's feature in `left` with its feature in `right`: [N].

    <outer(e, h), outer(e', h')> = <e, e'> <h, h'>; a bias adds <e, e'>.
    """
    total = torch.zeros_like(left.logits)
    for index, layer in enumerate(network.layers):
        signals = (left.signals[index] * right.signals[index]).sum(-1)
        inputs = (left.inputs[index] * right.inputs[index]).sum(-1)
        total = total + signals * (inputs if layer.bias is None else inputs + 1)
    return total


def feature_cosines(network: MLP, before: TangentFeatures, after: TangentFeatures) -> Tensor:
    """Cosine in [-1, 1] of each sample's full tangent features at two weights: [N].

    1 means that the features have not turned; the neural tangent kernel regime is usually taken to
    need more than `core.config.thresholds.STABLE_COSINE`. NaN for a sample whose feature is zero (every path to the
    logit closed).
    """
    norms = feature_products(network, before, before).sqrt() * feature_products(network, after, after).sqrt()
    return (feature_products(network, before, after) / norms).clamp(-1, 1)
