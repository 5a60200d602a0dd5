"""ModifiedReLU (Haim et al. 2022): forward ReLU, derivative sigmoid(alpha z); and how any network gets it.

`softened` puts it in the place of every ReLU that a module calls, whether as ``nn.ReLU``, ``torch.relu`` or
``torch.nn.functional.relu``, so that the module itself is left as it is.
"""

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

RELUS = {torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, nn.functional.relu}


class ModifiedReLU(torch.autograd.Function):
    """Differentiable once more: the second derivative is that of the sigmoid."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, alpha: float) -> Tensor:
        return torch.relu(z)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.alpha = inputs[1]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return gradient * torch.sigmoid(ctx.alpha * z), None


class softened(TorchFunctionMode):
    """``with softened(alpha): module(x)``; `alpha` = inf leaves the exact ReLU.

    `preactivations`, where given, receives what entered each ReLU, in the order of the calls.
    """

    def __init__(self, alpha: float, preactivations: list[Tensor] | None = None) -> None:
        super().__init__()
        self.alpha, self.preactivations = alpha, preactivations

    def __torch_function__(self, function, types, arguments=(), options=None):
        if function not in RELUS:
            return function(*arguments, **(options or {}))
        z = arguments[0]
        if self.preactivations is not None:
            self.preactivations.append(z)
        return torch.relu(z) if self.alpha == float("inf") else ModifiedReLU.apply(z, self.alpha)
