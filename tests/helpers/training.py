"""What tests of pretraining share."""

import torch

from core.models.mlp import MLP, init_small_first_layer


class Memory:
    """A monitor that keeps everything in memory and asks to stop at epoch `stop_at`."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at, self.epoch, self.rows, self.saves, self.steps = stop_at, 0, [], [], []

    def progress(self, step: int, total: int) -> None:
        self.epoch = step
        self.steps.append(step)

    def record(self, step: int, **values: float) -> None:
        self.rows.append({"step": step, **values})

    def should_stop(self) -> bool:
        return self.epoch == self.stop_at

    def save_checkpoint(self, tensors: dict[str, torch.Tensor], meta: dict) -> None:
        self.saves.append(({name: tensor.clone() for name, tensor in tensors.items()}, dict(meta)))

    def load_checkpoint(self) -> tuple[dict[str, torch.Tensor], dict] | None:
        return self.saves[-1] if self.saves else None


def fresh(training: tuple[torch.Tensor, torch.Tensor], *, scale: float = 1e-4, hidden: int = 32) -> MLP:
    network = MLP([784, hidden, hidden, 1]).double().requires_grad_(False)
    init_small_first_layer(network, scale=scale, generator=torch.Generator().manual_seed(3))
    network.input_mean.copy_(training[0].mean(0))
    return network
