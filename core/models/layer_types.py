"""Layer types: how a layer's gradient of one sample factors, one registered function a type.

A layer applies one matrix W [n_out, n_in] at each of P places of a sample (the one vector of a fully connected layer,
the patches under a convolution's kernel, the tokens before an attention projection): z_p = W h_p + b. With
e_p = d f / d z_p, for each sample,

    d f / d W = sum_p e_p h_p^T,        d f / d b = sum_p e_p

so that the inputs h and the signals e say all of it (`Places`), and what is linear in the inputs of one layer type is
linear in those of any other. To teach the laboratory another type, register its function::

    @layer_type(nn.Linear)
    def linear(layer, inputs, signals) -> Places: ...

in the manner of Opacus' per-sample gradients (Yousefpour et al. 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, unfold

from core.io.errors import InputError


@dataclass(frozen=True)
class Places:
    """A layer at N samples with P places each."""

    inputs: Tensor   # h [N, P, n_in]
    signals: Tensor  # e [N, P, n_out]

    def gradients(self) -> Tensor:
        """d f / d W of each sample, [N, n_out, n_in]: formed, so for small layers or few samples."""
        return self.signals.transpose(1, 2) @ self.inputs


Factoring = Callable[[nn.Module, Tensor, Tensor], Places]
LAYER_TYPES: dict[type[nn.Module], Factoring] = {}


def layer_type(module: type[nn.Module]) -> Callable[[Factoring], Factoring]:
    """Register a function (layer, its inputs, the gradient for its outputs) for a type of module and its subclasses."""
    def register(function: Factoring) -> Factoring:
        LAYER_TYPES[module] = function
        return function
    return register


def factoring_of(layer: nn.Module) -> Factoring | None:
    """The registered function of a layer's type, or of the nearest type that it inherits from."""
    return next((LAYER_TYPES[base] for base in type(layer).__mro__ if base in LAYER_TYPES), None)


@layer_type(nn.Linear)
def linear(layer: nn.Linear, inputs: Tensor, signals: Tensor) -> Places:
    """Inputs [N, n_in], or [N, …, n_in] at every token: fully connected layers and attention projections."""
    return Places(inputs.reshape(len(inputs), -1, inputs.shape[-1]), signals.reshape(len(signals), -1,
                                                                                    signals.shape[-1]))


@layer_type(nn.Conv2d)
def convolution(layer: nn.Conv2d, inputs: Tensor, signals: Tensor) -> Places:
    """Inputs [N, C, H, W]; W is the kernel as [n_out, C k k], a place each patch under it (im2col)."""
    if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise InputError("checkpoint: a convolution in groups, or padded with other than zeros by a number, is not "
                         "supported; name a network without it.")
    patches = unfold(inputs, layer.kernel_size, dilation=layer.dilation, padding=layer.padding, stride=layer.stride)
    return Places(patches.transpose(1, 2), signals.flatten(2).transpose(1, 2))


@layer_type(nn.Embedding)
def embedding(layer: nn.Embedding, inputs: Tensor, signals: Tensor) -> Places:
    """Inputs are indices [N, P]; W is the table's transpose [n_out, V], and h_p the one-hot vector of a token."""
    return Places(one_hot(inputs, layer.num_embeddings).to(signals), signals)


@dataclass(frozen=True)
class Layer:
    """One layer of a network at N samples: its places, and its outputs z as signals [N, …] go with them."""

    places: Places
    inner: Tensor  # [N], <(W, b), d f / d (W, b)> = sum_p e_p . z_p, of a layer that is linear in its parameters


def factored_gradients(network: nn.Module, x: Tensor, *, directions: Tensor | None = None,
                       ) -> tuple[Tensor, dict[str, Layer]]:
    """Outputs at `x`, [N] or [N, C], and the gradient of each sample's output by layer, in the network's own order.

    With `directions` [N, C], constants, f_i stands for directions_i . f(x_i). One pass forward and one backward, in the
    network's precision and with its own ReLU; samples must not see each other (no batch norm). Raises `InputError`
    where a layer with parameters is of no registered type.
    """
    layers = {name: layer for name, layer in network.named_modules() if next(layer.parameters(recurse=False), None)
              is not None}
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name, layer in layers.items():
        if factoring_of(layer) is None:
            raise InputError(f"checkpoint: {name} is a {type(layer).__name__}, for which no layer type is registered; "
                             f"known are {', '.join(kind.__name__ for kind in LAYER_TYPES)}.")

    def remember(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
            # Of frozen parameters the first outputs are on no graph; it begins with them.
            output = output if output.requires_grad else output.detach().requires_grad_()
            seen[name] = (arguments[0].detach(), output)
            return output
        return hook

    handles = [layer.register_forward_hook(remember(name)) for name, layer in layers.items()]
    try:
        with torch.enable_grad():
            outputs = network(x)
            total = outputs.sum() if directions is None else (outputs * directions.to(outputs)).sum()
            signals = torch.autograd.grad(total, [output for _, output in seen.values()])
    finally:
        for handle in handles:
            handle.remove()
    found = {}
    for (name, (inputs, output)), signal in zip(seen.items(), signals, strict=True):
        factoring = factoring_of(layers[name])
        found[name] = Layer(factoring(layers[name], inputs, signal), (signal * output.detach()).flatten(1).sum(1))
    return outputs.detach(), found
