"""Loss and gradient of any network over the whole training set, by autograd: `core.training.full_batch` in general."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.training.full_batch import usable
from core.training.losses import Scores, log_mean_loss


@dataclass(frozen=True)
class GraphPass:
    """One forward pass: the parameters as leaves, the logits [N] or [N, C] on their graph, scores (float64)."""

    leaves: list[Tensor]
    logits: Tensor
    scores: Scores
    log_loss: float


class AutogradBatch:
    """In the place of `core.training.full_batch.FullBatch` for what is not fully connected."""

    def __init__(self, network: nn.Module, x: Tensor, labels: Tensor) -> None:
        self.network, self.x = network, x
        self.names = [name for name, _ in network.named_parameters()]
        self.labels = labels.cpu().long()

    def evaluate(self, parameters: list[Tensor]) -> GraphPass:
        leaves = [parameter.detach().requires_grad_() for parameter in parameters]
        logits = functional_call(self.network, dict(zip(self.names, leaves, strict=True)), (self.x,))
        scores = Scores(logits.detach().cpu().double(), self.labels)
        return GraphPass(leaves, logits, scores, log_mean_loss(scores.margins).item())

    def gradient(self, parameters: list[Tensor], at: GraphPass, push: Tensor) -> list[Tensor]:
        """-sum_i push_i . grad f_i for `push` [N] or [N, C], at the parameters of `at`, in their order."""
        logit_gradient = -usable(push, self.x.dtype).to(self.x.dtype).to(self.x.device)  # d loss / d logits
        return list(torch.autograd.grad(at.logits, at.leaves, logit_gradient, retain_graph=True))
