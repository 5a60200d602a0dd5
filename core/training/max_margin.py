"""Descent of the weights' norm at constant loss: the shortest way to a KKT point.

Gradient flow turns the weights towards a KKT point of

    min ||theta||   subject to   y_i f(x_i) >= margin              (Lyu and Li 2020)

(of several classes f_y - max_{j != y} f_j in the place of y f)

but only as fast as their norm grows: what the initialisation left (in the D-1000-1000-1 network a second layer of
norm 18) fades as 1 / ||theta||, and every doubling of the norm makes the loss eight times stiffer. A network of
degree D, f(a theta) = a^D f(theta), needs no growth: here its scale is tied to the loss, and what falls is

    psi(theta) = log ||a theta||   with a such that   log L(a theta) = level,

which depends on the direction alone. Its gradient,

    theta / ||theta||^2 - grad log L / <theta, grad log L>   (both at the scale a, then pulled back),

is zero exactly where theta is parallel to -grad log L: theta = sum_i lam_i y_i grad f_i with lam_i > 0. That is
training with a weight decay that holds the loss (`core.diagnostics.decay` says which). The tangent of the angle
between the two is ||theta|| ||grad psi||; its sine is the KKT residual with the loss's own multipliers, free in every
epoch, and a bound on the best one.
The floor that remains is not rounding (float64 has it too): at a maximum margin many neurons sit on the kink of a
sample, where the gradient of the network jumps.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.optim.adam import adam

from core.config.monitor import Monitor
from core.io.errors import InputError
from core.models.conv import Network
from core.training.full_batch import norm
from core.training.losses import Scores, log_loss_pull, log_mean_loss
from core.training.trainer import GROW, SHRINK, DivergedError, Trainer

MOMENTUM = 0.9
FIRST_STEP = 1e-3                 # of the descent, as a share of the weights
FIRST_WINDOW, WINDOWS = 50, 1.5   # epochs before the first look at the residual; ratio of later looks
BEGIN = -5.0                      # log L where the descent begins; at -0.4 some margins are too far behind for it
PATIENCE = 200                    # epochs after which Adam takes over from log-gd; digits are separated in 20 to 60
BETAS, TINY = (0.9, 0.999), 1e-12 # Adam's, on gradients of log L
HIGHEST_LEVEL = -1.0              # log L stays above log log 2 = -0.37 wherever margins are positive and small


@dataclass
class Descent:
    """What the second phase keeps. Everything but the tensors is a number, and goes into the checkpoint as it is."""

    start: int                       # the epoch at which it began
    residual: float = 1.0            # the smallest so far: the sine above
    scale: float = 1.0               # brings the weights that had it to the level
    mark: int = 0                    # epochs since the start at the last look, and the smallest residual then
    mark_residual: float = 1.0
    flat: bool = False

    def look(self, epoch: int, least_fall: float) -> None:
        """Flat: the residual fell by a smaller share than `least_fall` during the last third of the epochs."""
        elapsed = epoch - self.start
        if elapsed < (WINDOWS * self.mark or FIRST_WINDOW):
            return
        self.flat = self.mark > 0 and self.residual > (1 - least_fall) * self.mark_residual
        self.mark, self.mark_residual = elapsed, self.residual


@dataclass
class Separation:
    """Adam, which separates points of the plane where log-gd stays at a saddle: first and second moments."""

    start: int                        # the epoch at which it began
    step_size: float
    first: list[Tensor]
    second: list[Tensor]

    def step(self, parameters: list[Tensor], gradient: list[Tensor], epoch: int) -> list[Tensor]:
        """The parameters after one step; the moments change in place."""
        stepped = [weight.clone() for weight in parameters]
        taken = [torch.tensor(float(epoch - self.start)) for _ in parameters]
        adam(stepped, gradient, self.first, self.second, [], taken, foreach=False, amsgrad=False, beta1=BETAS[0],
             beta2=BETAS[1], lr=self.step_size, weight_decay=0.0, eps=TINY, maximize=False)
        return stepped


class MaxMargin(Trainer):
    """Two phases: log-gd, or where that takes too long Adam, until the samples are separated, then the descent. The
    network gets the most stationary weights of the descent, at the scale where log L is the target."""

    def __init__(self, network: Network, x: Tensor, labels: Tensor, learning_rate: float, target_log_loss: float,
                 flat: float, monitor: Monitor) -> None:
        if target_log_loss > HIGHEST_LEVEL:
            raise InputError(f"target_log_loss: max-margin holds the loss at this value, so it must be at most "
                             f"{HIGHEST_LEVEL:g}; choose one such as -40.")
        self.power = degree([layer.bias is not None for layer in network.layers])
        self.least_fall = flat
        self.descent: Descent | None = None
        self.separation: Separation | None = None
        self.first_step = learning_rate
        self.best: list[Tensor] = []      # the most stationary weights so far, at any scale
        self.velocity: list[Tensor] | None = None
        self.value: float | None = None   # psi of `position`
        super().__init__(network, x, labels, "log-gd", learning_rate, target_log_loss, monitor)

    @property
    def log_loss(self) -> float:
        return self.position.log_loss if self.descent is None else self.target_log_loss

    def reached(self) -> str | None:
        return "flat" if self.descent and self.descent.flat else None

    def final_weights(self) -> list[Tensor]:
        return [tensor * self.descent.scale for tensor in self.best] if self.descent else self.parameters

    def advance(self) -> None:
        if self.descent is not None:
            self.save_by_the_clock()
            self.descend()
        else:
            if self.separation is None:
                super().advance()
                if self.stalled or self.epoch >= PATIENCE:
                    self.stalled = False
                    first, second = ([torch.zeros_like(weight) for weight in self.parameters] for _ in range(2))
                    self.separation = Separation(self.epoch, self.first_step, first, second)
            else:
                self.separate()
            if self.position.log_loss <= max(self.target_log_loss, BEGIN):
                self.descent, self.step_size, self.gradient = Descent(start=self.epoch), FIRST_STEP, None
                self.look_around()

    def separate(self) -> None:
        """One epoch of Adam on log L."""
        self.save_by_the_clock()
        self.parameters = self.separation.step(self.parameters, self.objective_gradient(), self.epoch)
        self.position, self.gradient = self.batch.evaluate(self.parameters), None
        self.epoch += 1
        if not math.isfinite(self.position.log_loss):
            raise DivergedError(f"learning_rate: the loss is not finite after epoch {self.epoch}; choose one smaller "
                                f"than {self.first_step:g}.")

    def look_around(self) -> None:
        """psi and its gradient at the present weights, and what they say of them."""
        scores, level = self.position.scores, self.target_log_loss
        self.value = log_norm(self.parameters, scores, level, self.power)
        square = norm(self.parameters) ** 2
        pulled = self.batch.gradient(self.parameters, self.position, slope_push(scores, level, self.power))
        self.gradient = [torch.add(weight, change, alpha=square)
                         for weight, change in zip(self.parameters, pulled, strict=True)]
        slope = norm(self.gradient) / math.sqrt(square)
        residual = slope / math.hypot(1.0, slope)
        if residual < self.descent.residual or not self.best:
            self.best, self.descent.residual = self.parameters, residual
            self.descent.scale = scale_to(level, scores, self.power)

    def descend(self) -> None:
        """One epoch: a step with momentum, taken back with the momentum where it does not lower psi."""
        if self.gradient is None:
            self.look_around()
        direction = self.gradient if self.velocity is None else [
            torch.add(change, old, alpha=MOMENTUM) for change, old in zip(self.gradient, self.velocity, strict=True)]
        trial = [torch.add(old, change, alpha=-self.step_size)
                 for old, change in zip(self.parameters, direction, strict=True)]
        there = self.batch.evaluate(trial)
        value = log_norm(trial, there.scores, self.target_log_loss, self.power)
        self.epoch += 1
        stuck = False
        if value <= self.value:
            self.step_size *= GROW
            self.parameters, self.position, self.velocity, self.gradient = trial, there, direction, None
            self.rescale()
        else:
            shortest = 0.1 * torch.finfo(self.batch.x.dtype).eps * norm(self.parameters)
            stuck = self.velocity is None and self.step_size * norm(direction) < shortest
            self.step_size *= SHRINK
            self.velocity = None
        self.descent.look(self.epoch, self.least_fall)
        self.descent.flat |= stuck  # no step goes down any more: on a kink, the residual stays what it is

    def rescale(self) -> None:
        """Keep the weights near the level: their scale changes nothing in psi, but drifts."""
        factor = scale_to(self.target_log_loss, self.position.scores, self.power)
        if not 0.5 < factor < 2.0:
            self.parameters = [tensor * factor for tensor in self.parameters]
            self.velocity = [tensor * factor for tensor in self.velocity]
            self.position = self.batch.evaluate(self.parameters)

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, meta = super().checkpoint()
        best = [tensor.clone() for tensor in self.best]  # safetensors takes no tensor twice: it may be the present one
        moments = (self.separation.first, self.separation.second) if self.separation and not self.descent else ([], [])
        for prefix, values in (("best.", best), ("velocity.", self.velocity or []),
                               *zip(("first.", "second."), moments, strict=True)):
            tensors |= {prefix + name: value for name, value in zip(self.names, values, strict=False)}
        return tensors, meta | {"descent": None if self.descent is None else vars(self.descent).copy(),
                                "separation": self.separation.start if moments[0] else None}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        if meta["separation"] is not None:
            self.separation = Separation(meta["separation"], self.first_step, self.placed(tensors, "first."),
                                         self.placed(tensors, "second."))
        if meta["descent"] is not None:
            self.descent, self.best = Descent(**meta["descent"]), self.placed(tensors, "best.")
            if f"velocity.{self.names[0]}" in tensors:
                self.velocity = self.placed(tensors, "velocity.")


def degree(biases: list[bool]) -> int:
    """D of f(a theta) = a^D f(theta), from which layers have a bias; an error where there is none."""
    if any(biases[1:]):
        raise InputError("optimizer: max-margin needs a homogeneous network, with a bias in the first layer only; "
                         "use log-gd.")
    return len(biases)


def scale_to(level: float, scores: Scores, power: int) -> float:
    """a > 0 with log L(a^power logits) = level, where every sample's label leads."""
    def excess(log_factor: float) -> float:
        return log_mean_loss(scores.scaled(math.exp(log_factor)).margins).item() - level

    # log L > -m_min - log N, and below -m_min + u: both ends follow from the smallest margin. The soft margin of C
    # classes is at most log(C - 1) below the lead.
    smallest = scores.lead.min().item()
    below = math.log(scores.logits.shape[1] - 1) if scores.logits.ndim > 1 else 0.0
    low = math.log(max(-level - math.log(len(scores.labels)), 1e-3) / smallest) - 1.0
    high = math.log((-level + 1.0 + below) / smallest)
    while excess(low) < 0:
        low -= 2.0
    return math.exp(brentq(excess, low, high, xtol=1e-13) / power)


def log_norm(parameters: list[Tensor], scores: Scores, level: float, power: int) -> float:
    """psi; infinite where a sample is on the wrong side, since no scale reaches the level there."""
    lead = scores.lead
    if not (lead.min().item() > 0 and math.isfinite(lead.max().item())):
        return math.inf
    return math.log(scale_to(level, scores, power)) + math.log(norm(parameters))


def slope_push(scores: Scores, level: float, power: int) -> Tensor:
    """p [N] or [N, C]: ||theta||^2 grad psi = theta - ||theta||^2 sum_i p_i . grad f_i, all at the present scale."""
    factor = scale_to(level, scores, power) ** power
    scaled = scores.scaled(factor)
    pull = log_loss_pull(scaled.margins)
    return scaled.push(pull / (power * (pull @ scores.along(scaled.directions))))
