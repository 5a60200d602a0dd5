"""Loss and gradient of any network over the whole training set, by autograd: `core.training.full_batch` in general."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.training.full_batch import usable_pull
from core.training.losses import log_mean_loss, signs


@dataclass(frozen=True)
class GraphPass:
    """One forward pass: the parameters as leaves, the logits [N] on their graph, margins y f [N] (float64)."""

    leaves: list[Tensor]
    logits: Tensor
    margins: Tensor
    log_loss: float


class AutogradBatch:
    """In the place of `core.training.full_batch.FullBatch` for what is not fully connected."""

    def __init__(self, network: nn.Module, x: Tensor, labels: Tensor) -> None:
        self.network, self.x = network, x
        self.names = [name for name, _ in network.named_parameters()]
        self.signs = signs(labels).cpu().double()

    def evaluate(self, parameters: list[Tensor]) -> GraphPass:
        leaves = [parameter.detach().requires_grad_() for parameter in parameters]
        logits = functional_call(self.network, dict(zip(self.names, leaves, strict=True)), (self.x,))
        margins = self.signs * logits.detach().cpu().double()
        return GraphPass(leaves, logits, margins, log_mean_loss(margins).item())

    def gradient(self, parameters: list[Tensor], at: GraphPass, pull: Tensor) -> list[Tensor]:
        """-sum_i pull_i y_i grad f_i for `pull` [N] >= 0, at the parameters of `at`, in their order."""
        slope = -(usable_pull(pull, self.x.dtype) * self.signs).to(self.x.dtype).to(self.x.device)
        return list(torch.autograd.grad(at.logits, at.leaves, slope, retain_graph=True))
