"""Inner products of per-sample gradients of any network, by autograd: a block of samples at a time.

In place of the factored features of a fully connected network (`core.diagnostics.stationarity`): here the gradients
are formed, N x P numbers, and where that is too many, block by block and once more for each pair of blocks.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

MOST_NUMBERS = 2**27  # of a block of gradients: half a GB in float32


def jacobian_products(network: nn.Module, x: Tensor, *,
                      most: int = MOST_NUMBERS) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Logits [N], and by layer of ``network.layers`` its share of <grad f_i, grad f_j> [N, N] and of
    <theta, grad f_i> [N], in float64 on the CPU. The gradients are in the network's precision, as is its ReLU."""
    parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}
    numbers = sum(parameter.numel() for parameter in parameters.values())
    blocks = torch.arange(len(x)).split(max(1, most // (2 * numbers)))
    layers = [[name for name in parameters if name.startswith(f"layers.{index}.")]
              for index in range(len(network.layers))]
    theta = [_flat([parameters[name] for name in names], samples=1)[0] for names in layers]

    def one(values: dict[str, Tensor], image: Tensor) -> Tensor:
        return functional_call(network, values, (image[None],))[0]

    def gradients(block: Tensor) -> tuple[list[Tensor], Tensor]:
        slopes, logits = vmap(grad_and_value(one), in_dims=(None, 0))(parameters, x[block])
        return [_flat([slopes[name] for name in names], samples=len(block)) for names in layers], logits

    logits = torch.zeros(len(x), dtype=x.dtype)
    grams = [torch.zeros(len(x), len(x), dtype=torch.float64) for _ in layers]
    inner = [torch.zeros(len(x), dtype=torch.float64) for _ in layers]
    for index, rows in enumerate(blocks):
        left, values = gradients(rows)
        logits[rows] = values.detach().cpu()
        for level, part in enumerate(left):
            inner[level][rows] = part @ theta[level]
        for columns in blocks[index:]:
            right = left if columns is rows else gradients(columns)[0]
            for level, (one_part, other) in enumerate(zip(left, right, strict=True)):
                products = one_part @ other.T
                grams[level][rows[:, None], columns] = products
                grams[level][columns[:, None], rows] = products.T
    return logits, list(zip(grams, inner, strict=True))


def _flat(parts: list[Tensor], *, samples: int) -> Tensor:
    """A layer's parameters or gradients side by side, [samples, P], float64 on the CPU (MPS has none)."""
    return torch.cat([part.reshape(samples, -1) for part in parts], dim=1).cpu().double()
