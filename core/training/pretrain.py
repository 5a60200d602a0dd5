"""Full-batch training of the small ReLU network towards stationarity.

Three optimisers share one loop, for the mean cross-entropy L, of one logit (Haim et al. 2022) or of C classes (Buzaglo
et al. 2023):

    gd           theta <- theta - lr * grad L        as published; crawls, since grad L vanishes with L
    log-gd       theta <- theta - s * grad log L     the same direction, divided by L; the step s adapts
    max-margin   log-gd until every sample is on its side; then the norm falls at constant loss, with momentum,
                 until the KKT residual is flat (`core.training.max_margin`)

The path of log-gd is that of gradient flow in another time: hundreds of epochs instead of a million to the same
loss. Its end still holds much of the initialisation; max-margin lets go of that, and ends near a KKT point. So does a
weight decay wd, with which gd and log-gd lower L + (wd / 2) ||theta||^2.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from core.config.monitor import Monitor, Silent
from core.diagnostics.decay import Decay
from core.diagnostics.stationarity import Stationarity
from core.io.errors import InputError
from core.models.conv import Network
from core.training.max_margin import MaxMargin
from core.training.trainer import Trainer

MOST_ROWS = 2000           # of the curves: what a plot can use; each costs about as much as a few epochs


@dataclass(frozen=True)
class PretrainOutcome:
    """How training ended. The network passed in holds the final weights."""

    status: str  # reached_target, flat, epochs, stalled or stopped
    epochs: int              # passes over the data, rejected steps included
    log_loss: float          # natural logarithm of the mean cross-entropy, without the weight decay
    train_error: float       # wrong / samples
    learning_rate: float     # the last step size
    stationarity: Stationarity
    decay: Decay


def pretrain(network: Network, x: Tensor, labels: Tensor, *, optimizer: Literal["gd", "log-gd", "max-margin"],
             learning_rate: float, epochs: int, target_log_loss: float, record_every: int, flat: float = 0.05,
             weight_decay: float = 0.0, monitor: Monitor | None = None) -> PretrainOutcome:
    """Train `network` in place on images `x` [N, C, H, W] in [0, 1] with `labels` [N] in {0, 1}, or in
    0 … C-1 where it has C outputs.

    Ends at `target_log_loss` (natural logarithm), after `epochs`, when the monitor asks to stop, or when no step
    lowers the loss any more. max-margin holds that loss instead, and ends once its residual fell by a smaller share
    than `flat` over the last third of its epochs; what it gives are its most stationary weights. Continues from the
    monitor's checkpoint if it has one: the weights are then those of a run that was never interrupted. Raises
    `DivergedError` on a loss that is not finite.
    """
    if weight_decay and optimizer == "max-margin":
        raise InputError("weight_decay: max-margin is itself the weight decay that holds the loss at target_log_loss; "
                         "leave weight_decay at 0, or choose log-gd.")
    every = max(record_every, -(-epochs // MOST_ROWS))
    trainer = (MaxMargin(network, x, labels, learning_rate, target_log_loss, flat, monitor or Silent())
               if optimizer == "max-margin" else
               Trainer(network, x, labels, optimizer, learning_rate, target_log_loss, monitor or Silent(),
                       weight_decay=weight_decay))
    while True:
        if trainer.epoch % every == 0:
            trainer.record()
        trainer.monitor.progress(trainer.epoch, epochs)
        status = trainer.ended(epochs)
        if status:
            break
        trainer.advance()
    if status != "stopped":  # a stopped run goes on later, and its curve with it
        trainer.record()
    trainer.save()
    return PretrainOutcome(status, trainer.epoch, trainer.log_loss, trainer.error, trainer.step_size,
                           trainer.measure(), trainer.measure_decay())
