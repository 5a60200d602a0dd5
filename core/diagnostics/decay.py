"""How near weights are to a stationary point of a loss with weight decay, whatever the decay is.

Where L + (wd / 2) ||theta||^2 is stationary (Buzaglo et al. 2023, for any differentiable loss l of N samples),

    theta = sum_i k_i . grad f(x_i),    k_i = -(1 / (wd N)) dl / df(x_i),

one coefficient an output, of any sign: the weights are parallel to -grad L. The sine of the angle between the two is
the residual of that equation with the best wd, 0 at a stationary point. It uses the loss's own coefficients, so the
KKT residual with the best multipliers is never above it.
"""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Decay:
    """The angle between the weights and the loss's own slope."""

    residual: float      # its sine, in [0, 1]
    weight_decay: float  # with which the weights would be stationary; negative where descent would lengthen them


def decay(parameters: list[Tensor], gradient: list[Tensor], log_loss: float) -> Decay:
    """`gradient` is that of log L, so that no loss is too small; sums in float64 on the CPU (MPS has no float64)."""
    pairs = [(weight.detach().cpu().double(), slope.cpu().double())
             for weight, slope in zip(parameters, gradient, strict=True)]
    inner = -sum(float((weight * slope).sum()) for weight, slope in pairs)
    squares = [sum(float(pair[side].square().sum()) for pair in pairs) for side in (0, 1)]
    if not (squares[0] > 0 and squares[1] > 0 and math.isfinite(squares[0] * squares[1])):
        return Decay(math.nan, math.nan)
    cosine = inner / math.sqrt(squares[0] * squares[1])
    # -grad L = L (-grad log L), along theta: wd ||theta||^2 = -<theta, grad L>
    return Decay(math.sqrt(max(0.0, 1 - cosine**2)) if cosine > 0 else 1.0,
                 math.exp(min(log_loss, 700.0)) * inner / squares[0])
