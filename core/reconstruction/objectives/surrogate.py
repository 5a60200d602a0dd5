"""Tangent features of a ReLU network with the ModifiedReLU surrogate, and their derivative, by hand.

ModifiedReLU (Haim et al. 2022): forward ReLU, derivative sigmoid(alpha z). A sample's gradient
factors as outer(e_l, h_l) with the layer's input h_l and its back-propagated signal e_l; an attack
differentiates a function of these factors once more. For l = 0 … L-1, gates d_l = sigmoid(alpha z_l):

    h_0 = (x - mean) / std      z_l = W_l h_l + b_l      h_{l+1} = relu(z_l)
    e_{L-1} = 1         e_l = d_l * (W_{l+1}^T e_{l+1})

A network of C outputs has the direction of its margin at the top, e_{L-1} in R^C (`core.models.margin`): the hard
one is constant almost everywhere, the soft one turns with the outputs.

`pull_back` is the transpose of this map's Jacobian. What autograd's double backward computes is the
same (tests compare them in float64); written out it needs no graph and two products a layer less.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.models.margin import hard_direction, soft_direction, soft_direction_pull_back
from core.models.mlp import MLP, pixel_scale


@dataclass(frozen=True)
class SurrogateFeatures:
    """Factors by layer for a batch of any leading shape [...]."""

    inputs: list[Tensor]    # h_l, [..., n_in]
    signals: list[Tensor]   # e_l, [..., n_out]
    preactivations: list[Tensor]  # z_l, [..., n_out] of each hidden layer
    gates: list[Tensor]     # d_l, [..., n_out] of each hidden layer
    spread: list[Tensor]    # W_{l+1}^T e_{l+1}, the signal before the gate
    relu_alpha: float | Tensor  # infinity is the exact ReLU; a tensor [] is where a recorded step reads it anew
    turning: Tensor | None = None  # labels [...] where the top signal is a soft direction


class Surrogate:
    """The network's weights, ready for batched evaluation. Weights are constants of the attack.

    `basis` [D, K], orthonormal columns: every centred input will lie in their span. The first layer then works on K
    coordinates, h_0 = basis^T (x - mean), instead of D pixels.
    """

    def __init__(self, network: MLP, *, basis: Tensor | None = None) -> None:
        self.network, self.basis = network, basis
        self.weights = [layer.weight.detach() for layer in network.layers]
        if basis is not None:
            self.weights[0] = self.weights[0] @ basis
        self.biases = [None if layer.bias is None else layer.bias.detach() for layer in network.layers]

    def features(self, x: Tensor, *, relu_alpha: float | Tensor, labels: Tensor | None = None,
                 soft: bool = False) -> SurrogateFeatures:
        """Features of images [..., C, H, W]; `relu_alpha` = inf gives the exact ReLU (off at the kink).

        A tensor [] as `relu_alpha` must be finite. Of several outputs `labels` [...] and `soft` say along which
        direction; of one they mean nothing.
        """
        centred = self.network.centre(x)
        inputs, preactivations, gates = [centred if self.basis is None else centred @ self.basis], [], []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            z = torch.nn.functional.linear(inputs[-1], weight, bias)
            preactivations.append(z)
            gates.append((z > 0).to(z) if is_exact(relu_alpha) else torch.sigmoid_(relu_alpha * z))
            inputs.append(torch.relu(z))
        several = self.network.outputs > 1
        signals, spread = [self._direction(inputs[-1], labels, soft) if several else
                           torch.ones_like(inputs[-1][..., :1])], []
        for weight, gate in zip(reversed(self.weights[1:]), reversed(gates), strict=True):
            spread.append(signals[-1] @ weight)
            signals.append(gate * spread[-1])
        return SurrogateFeatures(inputs, signals[::-1], preactivations, gates, spread[::-1], relu_alpha,
                                 labels if several and soft else None)

    def _direction(self, h: Tensor, labels: Tensor, soft: bool) -> Tensor:
        logits = torch.nn.functional.linear(h, self.weights[-1], self.biases[-1])
        return soft_direction(logits, labels) if soft else hard_direction(logits, labels)

    def pull_back(self, features: SurrogateFeatures, grad_inputs: dict[int, Tensor],
                  grad_signals: dict[int, Tensor], grad_preactivations: dict[int, Tensor] | None = None) -> Tensor:
        """Gradient with respect to the pixels [..., D], from those with respect to h_l, e_l and z_l.

        A layer without an entry contributes nothing.
        """
        direct = grad_preactivations or {}
        # Upwards through the signals: e_l depends on e_{l+1} and on its own gate.
        grad_gates: list[Tensor | None] = []
        grad_signal = grad_signals.get(0)
        for level, (gate, spread) in enumerate(zip(features.gates, features.spread, strict=True)):
            grad_gates.append(None if grad_signal is None else grad_signal * spread)
            above = grad_signals.get(level + 1)
            if grad_signal is not None:
                above = _add_product(above, grad_signal * gate, self.weights[level + 1].T)
            grad_signal = above
        # Downwards through the activations: z_l sets both h_{l+1} and the gate d_l.
        last = len(features.gates)
        grad_input = grad_inputs.get(last)
        if last in direct:
            grad_input = _add_product(grad_input, direct[last], self.weights[last])
        if features.turning is not None and grad_signal is not None:
            turned = soft_direction_pull_back(features.signals[last], features.turning, grad_signal)
            grad_input = _add_product(grad_input, turned, self.weights[last])
        for level in reversed(range(len(features.gates))):
            gate = features.gates[level]
            grad_z = direct.get(level)
            if grad_input is not None:
                grad_z = grad_input * gate if grad_z is None else torch.addcmul(grad_z, grad_input, gate)
            alpha = features.relu_alpha
            if grad_gates[level] is not None and not is_exact(alpha):  # the exact ReLU's gate is flat
                bend = torch.addcmul(gate, gate, gate, value=-1).mul_(grad_gates[level]).mul_(alpha)  # alpha d (1 - d)
                grad_z = bend if grad_z is None else grad_z.add_(bend)
            grad_input = grad_inputs.get(level)
            if grad_z is not None:
                grad_input = _add_product(grad_input, grad_z, self.weights[level])
        if grad_input is None:
            grad_input = torch.zeros_like(features.inputs[0])
        if self.basis is not None:
            grad_input = grad_input @ self.basis.T
        return grad_input if self.network.input_std is None else grad_input / self.network.input_std.flatten()


def is_exact(relu_alpha: float | Tensor) -> bool:
    """Without the surrogate. A tensor is never asked: its value may be on a device, and is finite."""
    return not isinstance(relu_alpha, Tensor) and relu_alpha == float("inf")


def _add_product(present: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """present + left @ right for left [..., n], right [n, m]: one pass over the result instead of two."""
    if present is None:
        return left @ right
    return torch.addmm(present.flatten(0, -2), left.flatten(0, -2), right).view_as(present)


class OfSurrogate:
    """What an objective on a surrogate says of its network's inputs."""

    surrogate: Surrogate

    @property
    def input_mean(self) -> Tensor:
        return self.surrogate.network.input_mean

    @property
    def pixel_scale(self) -> Tensor:
        return pixel_scale(self.surrogate.network)
