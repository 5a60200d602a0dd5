"""Inner products of per-sample gradients, layer by layer, from their factors (`core.models.layer_types`).

Where a layer has one place a sample, <grad f_i, grad f_j> = (e_i . e_j) (h_i . h_j + 1) with a bias, and no gradient
is formed; where it has many (a convolution), the gradients themselves are few numbers.
"""

from torch import Tensor, nn

from core.models.layer_types import Places, factored_gradients


def gradient_products(network: nn.Module, x: Tensor, directions: Tensor | None = None,
                      ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Logits [N] or [N, C], and by layer its share of <grad f_i, grad f_j> [N, N] and of <theta, grad f_i> [N].

    In float64 on the CPU (MPS has none); the factors are in the network's precision. With `directions` [N, C] of C
    outputs, f_i stands for directions_i . f(x_i).
    """
    logits, layers = factored_gradients(network, x, directions=directions)
    products = []
    for name, layer in layers.items():
        inputs, signals = layer.places.inputs.cpu().double(), layer.places.signals.cpu().double()
        bias = getattr(network.get_submodule(name), "bias", None) is not None  # a weight on a constant input 1
        if inputs.shape[1] == 1:
            gram = (signals[:, 0] @ signals[:, 0].T) * (inputs[:, 0] @ inputs[:, 0].T + bias)
        else:
            gradients = Places(inputs, signals).gradients().flatten(1)
            gram = gradients @ gradients.T
            if bias:
                summed = signals.sum(1)
                gram += summed @ summed.T
        products.append((gram, layer.inner.cpu().double()))
    return logits, products
