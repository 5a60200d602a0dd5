"""Full-batch training of the small ReLU network towards stationarity.

Two optimisers share one loop. Both follow the gradient of the mean binary cross-entropy L (Haim et al. 2022):

    gd       theta <- theta - lr * grad L            as published; crawls, since grad L vanishes with L
    log-gd   theta <- theta - s * grad log L         the same direction, divided by L; the step s adapts

The path of log-gd is that of gradient flow in another time, so it heads for the same KKT direction; what it
changes is the number of epochs: hundreds instead of a million. Gradients are written out and never go through
autograd: with c_i = d/d f_i, the layer gradient is sum_i c_i e_i h_i^T, two matrix products a layer.
"""

import math
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from core.diagnostics.stationarity import Stationarity, stationarity
from core.errors import InputError
from core.models.mlp import MLP
from core.monitor import Monitor, Silent
from core.training.losses import log_loss_pull, log_mean_loss, signs

GROW, SHRINK = 1.1, 0.5    # log-gd: after a step that lowers the loss, and after one that does not
CHECKPOINT_SECONDS = 5.0
MOST_ROWS = 2000           # of the curves: what a plot can use; each costs about as much as a few epochs


class DivergedError(InputError):
    """The loss became infinite or NaN; the network holds the last good weights, and so does the checkpoint."""


@dataclass(frozen=True)
class PretrainOutcome:
    """How training ended. The network passed in holds the final weights."""

    status: Literal["reached_target", "epochs", "stalled", "stopped"]
    epochs: int              # passes over the data, rejected steps of log-gd included
    log_loss: float          # natural logarithm of the mean binary cross-entropy
    train_error: float       # wrong / samples
    learning_rate: float     # the last step size
    stationarity: Stationarity


@dataclass(frozen=True)
class _Pass:
    """One forward pass: inputs h_l [N, n_in] of every layer, gates of the hidden ones, margins y f [N] (float64)."""

    inputs: list[Tensor]
    gates: list[Tensor]
    margins: Tensor
    log_loss: float


class FullBatch:
    """The whole training set at once: loss and gradient at any parameters, in the order of network.parameters()."""

    def __init__(self, network: MLP, x: Tensor, labels: Tensor) -> None:
        self.biases = [layer.bias is not None for layer in network.layers]
        self.x = network.centre(x).detach()
        self.signs = signs(labels).cpu().double()

    def _layers(self, parameters: list[Tensor]) -> list[tuple[Tensor, Tensor | None]]:
        queue = iter(parameters)
        return [(next(queue), next(queue) if bias else None) for bias in self.biases]

    def evaluate(self, parameters: list[Tensor]) -> _Pass:
        h, inputs, gates = self.x, [], []
        layers = self._layers(parameters)
        for index, (weight, bias) in enumerate(layers):
            inputs.append(h)
            z = h @ weight.T if bias is None else torch.addmm(bias, h, weight.T)
            if index < len(layers) - 1:
                gates.append(z > 0)
                h = z.relu_()
        # N numbers: the loss is taken in float64 on the CPU, whatever the network computes in (MPS has no float64).
        margins = self.signs * z.squeeze(1).cpu().double()
        return _Pass(inputs, gates, margins, log_mean_loss(margins).item())

    def gradient(self, parameters: list[Tensor], at: _Pass, pull: Tensor) -> list[Tensor]:
        """-sum_i pull_i y_i grad f_i for `pull` [N] >= 0, in the order of the parameters."""
        # Subnormal numbers would slow every product down and are far below what changes a weight.
        pull = torch.where(pull < 1e8 * torch.finfo(self.x.dtype).tiny, 0.0, pull)
        signal = -(pull * self.signs).to(self.x.dtype).to(self.x.device)[:, None]  # [N, 1]
        layers = self._layers(parameters)
        gradients: list[Tensor] = []
        for index in range(len(layers) - 1, -1, -1):
            weight, bias = layers[index]
            own = [signal.T @ at.inputs[index]] + ([signal.sum(0)] if bias is not None else [])
            gradients = own + gradients
            if index:
                signal = (signal @ weight).mul_(at.gates[index - 1])
        return gradients


def pretrain(network: MLP, x: Tensor, labels: Tensor, *, optimizer: Literal["gd", "log-gd"],
             learning_rate: float, epochs: int, target_log_loss: float, record_every: int,
             monitor: Monitor | None = None) -> PretrainOutcome:
    """Train `network` in place on images `x` [N, C, H, W] in [0, 1] with `labels` [N] in {0, 1}.

    Ends at `target_log_loss` (natural logarithm), after `epochs`, when the monitor asks to stop, or when no step
    of log-gd lowers the loss any more. Continues from the monitor's checkpoint if it has one: the weights are then
    those of a run that was never interrupted. Raises `DivergedError` on a loss that is not finite.
    """
    every = max(record_every, -(-epochs // MOST_ROWS))
    trainer = _Trainer(network, x, labels, optimizer, learning_rate, monitor or Silent())
    while True:
        if trainer.epoch % every == 0:
            trainer.record()
        trainer.monitor.progress(trainer.epoch, epochs)
        status = trainer.ended(epochs, target_log_loss)
        if status:
            break
        trainer.advance()
    if status != "stopped":  # a stopped run goes on later, and its curve with it
        trainer.record()
    trainer.save()
    return PretrainOutcome(status, trainer.epoch, trainer.position.log_loss, trainer.error, trainer.step_size,
                           trainer.measure())


class _Trainer:
    """The state of one training: parameters, what they give, the epoch and the step size."""

    def __init__(self, network: MLP, x: Tensor, labels: Tensor, optimizer: str, learning_rate: float,
                 monitor: Monitor) -> None:
        self.network, self.x, self.labels, self.optimizer, self.monitor = network, x, labels, optimizer, monitor
        self.batch = FullBatch(network, x, labels)
        self.parameters = [parameter.detach().clone() for parameter in network.parameters()]
        self.epoch, self.step_size, self.recorded, self.stalled = 0, learning_rate, -1, False
        checkpoint = monitor.load_checkpoint()
        if checkpoint is not None:
            tensors, meta = checkpoint
            self.parameters = [tensors[name].to(old) for (name, _), old
                               in zip(network.named_parameters(), self.parameters, strict=True)]
            self.epoch, self.step_size, self.recorded = meta["step"], meta["step_size"], meta["recorded"]
        self.position = self.batch.evaluate(self.parameters)
        self.gradient: list[Tensor] | None = None  # of `position`; kept over rejected steps
        self.measured: tuple[int, Stationarity] | None = None  # and the epoch it belongs to
        self.saved_at = time.monotonic()
        if not math.isfinite(self.position.log_loss):
            raise DivergedError("init_scale: the first loss is not finite; choose a smaller init_scale.")

    @property
    def error(self) -> float:
        return (self.position.margins <= 0).double().mean().item()

    def ended(self, epochs: int, target_log_loss: float) -> str | None:
        if self.position.log_loss <= target_log_loss:
            return "reached_target"
        if self.epoch >= epochs:
            return "epochs"
        if self.stalled:
            return "stalled"
        return "stopped" if self.monitor.should_stop() else None

    def advance(self) -> None:
        """One epoch: one pass over the data at a trial point."""
        if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
            self.save()
        if self.gradient is None:
            margins = self.position.margins
            pull = torch.sigmoid(-margins) / len(margins) if self.optimizer == "gd" else log_loss_pull(margins)
            self.gradient = self.batch.gradient(self.parameters, self.position, pull)
        trial = [torch.add(old, change, alpha=-self.step_size)
                 for old, change in zip(self.parameters, self.gradient, strict=True)]
        there = self.batch.evaluate(trial)
        if self.optimizer == "gd" and not math.isfinite(there.log_loss):
            self.publish()
            self.save()
            raise DivergedError(f"learning_rate: the loss is not finite after epoch {self.epoch}; choose one smaller "
                                f"than {self.step_size:g}.")
        self.epoch += 1
        if self.optimizer == "log-gd" and not there.log_loss <= self.position.log_loss:  # also where it is NaN
            # Shorter than the rounding of the weights: no smaller step can change them.
            shortest = 0.1 * torch.finfo(self.batch.x.dtype).eps * _norm(self.parameters)
            self.stalled = self.step_size * _norm(self.gradient) < shortest
            self.step_size *= SHRINK
            return
        if self.optimizer == "log-gd":
            self.step_size *= GROW
        self.parameters, self.position, self.gradient = trial, there, None

    def publish(self) -> None:
        """Put the weights into the network."""
        with torch.no_grad():
            for parameter, value in zip(self.network.parameters(), self.parameters, strict=True):
                parameter.copy_(value)

    def measure(self) -> Stationarity:
        """Publish the weights and measure the network there, once an epoch."""
        self.publish()
        if self.measured is None or self.measured[0] != self.epoch:
            start = self.measured[1].multipliers if self.measured else None
            self.measured = self.epoch, stationarity(self.network, self.x, self.labels, start=start)
        return self.measured[1]

    def record(self) -> None:
        """One row of the curves, once an epoch: a resumed run does not repeat the row it stopped at."""
        if self.epoch == self.recorded:
            return
        self.recorded = self.epoch
        measured = self.measure()
        layers = {f"kkt_residual.{name}": value for name, value in measured.layer_residuals.items()}
        self.monitor.record(self.epoch, log_loss=self.position.log_loss, error=self.error, margin=measured.margin,
                            kkt_residual=measured.residual, learning_rate=self.step_size, **layers)

    def save(self) -> None:
        names = [name for name, _ in self.network.named_parameters()]
        self.monitor.save_checkpoint(dict(zip(names, self.parameters, strict=True)),
                                     {"step": self.epoch, "step_size": self.step_size, "recorded": self.recorded})
        self.saved_at = time.monotonic()


def _norm(tensors: list[Tensor]) -> float:
    return math.sqrt(sum(tensor.square().sum().item() for tensor in tensors))
