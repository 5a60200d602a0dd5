"""Labels, and a check without the truth: the step that a reconstruction would have caused, against the released one.

After one step of gradient descent from B = 0, B = -lr scaling (dL/dW) A^T in every adapted layer of every block. Many
small steps keep close to that direction.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from core.reconstruction.patches.first_step import EPSILON
from core.threat.observation import TransformerAdapter


def label_by_step(observation: TransformerAdapter, x: Tensor, *, adaptive: bool = False) -> tuple[int, float]:
    """Label of one image [C, H, W], and the cosine of its simulated step with what was released, layer by layer on
    average: 1 is the step itself, 0 no likeness. `adaptive`: a first step of Adam, g / (|g| + eps)."""
    cosines = [_cosine(observation, x[None].float(), label, adaptive) for label in range(observation.network.outputs)]
    best = max(range(len(cosines)), key=cosines.__getitem__)
    return best, cosines[best]


def _cosine(observation: TransformerAdapter, x: Tensor, label: int, adaptive: bool) -> float:
    network = observation.network
    layers = network.linear_layers()
    weights = {name: layers[name].weight for name in observation.layers if bool(observation.layers[name].B.any())}
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        with torch.enable_grad():
            loss = cross_entropy(network(x.to(next(iter(weights.values())))), torch.tensor([label]))
            gradients = torch.autograd.grad(loss, list(weights.values()))
    finally:
        for weight in weights.values():
            weight.requires_grad_(False)
    found = []
    for name, gradient in zip(weights, gradients, strict=True):
        factors = observation.layers[name]
        step = -(gradient.double() @ factors.A.double().T) * factors.scaling
        if adaptive:
            step = step / (step.abs() + EPSILON)
        B = factors.B.double()
        found.append(float((step * B).sum() / (step.norm() * B.norm()).clamp(min=1e-300)))
    return sum(found) / len(found)
