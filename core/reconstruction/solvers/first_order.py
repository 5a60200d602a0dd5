"""Update rules. Elementwise, so that restarts in one batch stay independent of each other."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba 2015, algorithm 1, as torch has it. Its step size does not depend on the scale of the objective."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-12  # gradients near the optimum are small in a relative residual

    def init(self, like: Tensor) -> dict[str, Tensor]:
        # The count is a tensor on the CPU: it is saved with the state, and reading it never waits for a device.
        return {"mean": torch.zeros_like(like), "square": torch.zeros_like(like),
                "count": torch.zeros((), dtype=torch.int64)}

    def step(self, variable: Tensor, gradient: Tensor, state: dict[str, Tensor], *, learning_rate: float) -> Tensor:
        stepped = variable.clone()
        adam([stepped], [gradient], [state["mean"]], [state["square"]], [], [state["count"]], foreach=False,
             amsgrad=False, beta1=self.beta1, beta2=self.beta2, lr=learning_rate, weight_decay=0.0, eps=self.epsilon,
             maximize=False)
        return stepped


@dataclass(frozen=True)
class SGD:
    """Gradient descent with heavy-ball momentum, as Haim et al. 2022 use it."""

    momentum: float = 0.9

    def init(self, like: Tensor) -> dict[str, Tensor]:
        return {"velocity": torch.zeros_like(like)}

    def step(self, variable: Tensor, gradient: Tensor, state: dict[str, Tensor], *, learning_rate: float) -> Tensor:
        state["velocity"].mul_(self.momentum).add_(gradient)
        return variable - learning_rate * state["velocity"]


FIRST_ORDER = {"adam": Adam, "sgd": SGD}
