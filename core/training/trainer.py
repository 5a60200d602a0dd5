"""The state of one training by gd or log-gd, what it records and what its checkpoint holds.

With a weight decay wd it is L + (wd / 2) ||theta||^2 that falls: gd takes its gradient, log-gd that of its logarithm.
It is stationary where theta = -grad L / wd, a sum of the samples' features whose coefficients are the loss's own
(`core.diagnostics.decay`), at a finite loss.
"""

import math
import time
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from core.config.monitor import Monitor
from core.diagnostics.decay import Decay, decay
from core.diagnostics.stationarity import Stationarity, stationarity
from core.io.errors import InputError
from core.models.conv import Network
from core.training.autograd_batch import AutogradBatch
from core.training.full_batch import FullBatch, norm
from core.training.losses import log_loss_pull

GROW, SHRINK = 1.1, 0.5    # the step: after one that goes down, and after one that does not
CHECKPOINT_SECONDS = 5.0


class DivergedError(InputError):
    """The loss became infinite or NaN; the network holds the last good weights, and so does the checkpoint."""


class Trainer:
    """The state of one training: parameters, what they give, the epoch and the step size."""

    def __init__(self, network: Network, x: Tensor, labels: Tensor, optimizer: Literal["gd", "log-gd"],
                 learning_rate: float, target_log_loss: float, monitor: Monitor, *,
                 weight_decay: float = 0.0) -> None:
        self.network, self.x, self.labels, self.optimizer, self.monitor = network, x, labels, optimizer, monitor
        self.target_log_loss, self.weight_decay = target_log_loss, weight_decay
        self.batch: Any = (FullBatch if network.fully_connected else AutogradBatch)(network, x, labels)
        self.parameters = [parameter.detach().clone() for parameter in network.parameters()]
        self.names = [name for name, _ in network.named_parameters()]
        self.epoch, self.step_size, self.recorded, self.stalled = 0, learning_rate, -1, False
        checkpoint = monitor.load_checkpoint()
        if checkpoint is not None:
            tensors, meta = checkpoint
            self.parameters = self.placed(tensors)
            self.epoch, self.step_size, self.recorded = meta["step"], meta["step_size"], meta["recorded"]
            self.restore(tensors, meta)
        self.position: Any = self.batch.evaluate(self.parameters)  # in the form of its batch
        self.gradient: list[Tensor] | None = None  # of `position`; kept over rejected steps
        self.measured: tuple[int, Stationarity] | None = None  # and the epoch it belongs to
        self.saved_at = time.monotonic()
        if not math.isfinite(self.position.log_loss):
            raise DivergedError("init_scale: the first loss is not finite; choose a smaller init_scale.")

    def placed(self, tensors: dict[str, Tensor], prefix: str = "") -> list[Tensor]:
        """The parameters in a checkpoint's tensors, where and in what precision the network computes."""
        return [tensors[prefix + name].to(old) for name, old in zip(self.names, self.parameters, strict=True)]

    @property
    def error(self) -> float:
        return (self.position.scores.lead <= 0).double().mean().item()

    @property
    def log_loss(self) -> float:
        return self.position.log_loss

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """What else a kind of training keeps in its checkpoint."""

    def reached(self) -> str | None:
        """Why there is no need to go on."""
        return "reached_target" if self.log_loss <= self.target_log_loss else None

    def ended(self, epochs: int) -> str | None:
        if status := self.reached():
            return status
        if self.epoch >= epochs:
            return "epochs"
        if self.stalled:
            return "stalled"
        return "stopped" if self.monitor.should_stop() else None

    def advance(self) -> None:
        """One epoch: one pass over the data at a trial point."""
        self.save_by_the_clock()
        if self.gradient is None:
            self.gradient = self.objective_gradient()
        trial = [torch.add(old, change, alpha=-self.step_size)
                 for old, change in zip(self.parameters, self.gradient, strict=True)]
        there = self.batch.evaluate(trial)
        if self.optimizer == "gd" and not math.isfinite(there.log_loss):
            self.publish()
            self.save()
            raise DivergedError(f"learning_rate: the loss is not finite after epoch {self.epoch}; choose one smaller "
                                f"than {self.step_size:g}.")
        self.epoch += 1
        if self.optimizer == "log-gd" and not (  # also where it is NaN
                self.log_objective(trial, there.log_loss) <= self.log_objective(self.parameters, self.log_loss)):
            # Shorter than the rounding of the weights: no smaller step can change them.
            shortest = 0.1 * torch.finfo(self.batch.x.dtype).eps * norm(self.parameters)
            self.stalled = self.step_size * norm(self.gradient) < shortest
            self.step_size *= SHRINK
            return
        if self.optimizer == "log-gd":
            self.step_size *= GROW
        self.parameters, self.position, self.gradient = trial, there, None

    def log_objective(self, parameters: list[Tensor], log_loss: float) -> float:
        """log (L + (wd / 2) ||theta||^2)."""
        if not self.weight_decay:
            return log_loss
        return float(np.logaddexp(log_loss, math.log(self.weight_decay / 2) + 2 * math.log(norm(parameters))))

    def objective_gradient(self) -> list[Tensor]:
        """The gradient of what falls: of the objective, or for log-gd of its logarithm."""
        scores = self.position.scores
        pull = (torch.sigmoid(-scores.margins) / len(scores.margins) if self.optimizer == "gd" else
                log_loss_pull(scores.margins))
        if not self.weight_decay:
            return self.batch.gradient(self.parameters, self.position, scores.push(pull))
        share, log = self.weight_decay, self.optimizer == "log-gd"
        if log:
            value = self.log_objective(self.parameters, self.log_loss)
            pull, share = pull * math.exp(self.log_loss - value), share * math.exp(-value)
        of_loss = self.batch.gradient(self.parameters, self.position, scores.push(pull))
        return [torch.add(change, weight, alpha=share) for change, weight in zip(of_loss, self.parameters, strict=True)]

    def final_weights(self) -> list[Tensor]:
        """The weights that the network gets."""
        return self.parameters

    def publish(self) -> None:
        """Put the weights into the network."""
        with torch.no_grad():
            for parameter, value in zip(self.network.parameters(), self.final_weights(), strict=True):
                parameter.copy_(value)

    def measure(self) -> Stationarity:
        """Publish the weights and measure the network there, once an epoch."""
        self.publish()
        if self.measured is None or self.measured[0] != self.epoch:
            start = self.measured[1].multipliers if self.measured else None
            self.measured = self.epoch, stationarity(self.network, self.x, self.labels, start=start)
        return self.measured[1]

    def measure_decay(self) -> Decay:
        """Of the released weights."""
        weights = self.final_weights()
        at = self.batch.evaluate(weights)
        push = at.scores.push(log_loss_pull(at.scores.margins))
        return decay(weights, self.batch.gradient(weights, at, push), at.log_loss)

    def record(self) -> None:
        """One row of the curves, once an epoch: a resumed run does not repeat the row it stopped at."""
        if self.epoch == self.recorded:
            return
        self.recorded = self.epoch
        measured = self.measure()
        layers = {f"kkt_residual.{name}": value for name, value in measured.layer_residuals.items()}
        layers |= {f"alignment.{name}": value for name, value in measured.alignments.items()}
        if self.weight_decay:
            layers["decay_residual"] = self.measure_decay().residual
        self.monitor.record(self.epoch, log_loss=self.log_loss, error=self.error, margin=measured.margin,
                            median_margin=measured.median_margin, active=len(measured.active),
                            kkt_residual=measured.residual, learning_rate=self.step_size, **layers)

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that `advance` depends on."""
        return (dict(zip(self.names, self.parameters, strict=True)),
                {"step": self.epoch, "step_size": self.step_size, "recorded": self.recorded})

    def save(self) -> None:
        self.monitor.save_checkpoint(*self.checkpoint())
        self.saved_at = time.monotonic()

    def save_by_the_clock(self) -> None:
        if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
            self.save()
