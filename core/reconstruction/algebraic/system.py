"""The linear facts of one sample, from its patterns and measurements.

With the patterns of all layers known, every pre-activation is affine in the input z = x - mean, so that
everything an update says of a sample is linear in (x, t), where t = 1 / |k| is the unknown step size:

    A_l h_l(x) = t (label sign) v_l        v_l = k A_l h_l, measured
    (2 on - 1) * preactivation_l(x) >= 0   all layers, neurons that are certain
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.models.mlp import MLP, pixel_scale
from core.reconstruction.algebraic.separation import Separation
from core.reconstruction.algebraic.updates import TYPICAL
from core.reconstruction.certificate.projector import Certificate
from core.threat.layer_update import LayerUpdate

ARITHMETIC = 3e-7    # relative error of float32 sums in the fine-tuning itself
EARLY = 1 / 3        # of the update: features of a training are best taken there, since its first steps are largest
BLENDED = 0.05       # relative error, once A drifts, of the strongest sample's A h within the span of the measurements
DRIFT = 0.01         # and of its measurements above the first layer; a weaker one's are worse


@dataclass(frozen=True)
class System:
    """The linear facts of one sample in (x, t), for the label sign +1; the other negates the last column of E."""

    E: Tensor            # [K, D + 1], rows in units of their noise
    b: Tensor            # [K]
    G: Tensor            # [J, D + 1], rows of unit norm
    g: Tensor            # [J]
    unit: float          # |k| at t = 1
    blurred: bool = False   # the equations hold on average only, see `core.threat.merged`
    dark: bool = True    # the base's own inputs are, on average

    @property
    def equations(self) -> int:
        """How many can be taken at their word."""
        return 0 if self.blurred else len(self.E)

    def signed(self, sign: int) -> Tensor:
        return torch.cat([self.E[:, :-1], sign * self.E[:, -1:]], dim=1)


def build_system(network: MLP, updates: dict[int, LayerUpdate], separation: Separation, sample: int, *,
                 drift: float = 0.0, certificate: Certificate | None = None) -> System:
    """All equations and signs of one sample.

    `drift`: how far, relatively, the factor A of the first layer moved over the steps, so that v_i =
    sum_t k_i(t) A(t) h_i is no multiple of the released A h_i. Then the first layer's `certificate` C h_i = 0, exact
    after any number of steps, takes the place of what is orthogonal to all v_j; along v_i, beside the others, h_i is
    still measured, and along the others it has little: both with a tolerance. Above the first layer inputs are those
    of weights a third of the update on, also with a tolerance.
    """
    weights = [layer.weight.detach().cpu().double() for layer in network.layers]
    if drift:
        weights = [weight + EARLY * updates[level].scaling * updates[level].B @ updates[level].A
                   if level in updates else weight for level, weight in enumerate(weights)]
    biases = [torch.zeros(len(weight), dtype=torch.float64) if layer.bias is None
              else layer.bias.detach().cpu().double() for layer, weight in zip(network.layers, weights, strict=True)]
    mean = network.input_mean.detach().cpu().double().flatten()
    D = mean.numel()
    std = pixel_scale(network).detach().cpu().double().flatten()
    linear, offset = torch.diag(1 / std), -mean / std             # h_l = linear x + offset
    first = separation.layers[0].measured[sample]
    pixels = updates[0].A[:, :D] / std
    unit = float(first.norm() / (pixels.norm() * TYPICAL))
    rows, values, signs, sign_values = [], [], [], []
    for level in range(len(weights)):
        reading = separation.layers.get(level)
        alone = level == len(weights) - 1 and level in updates and len(separation.layers[0].on) == 1
        if reading is not None or alone:
            update = updates[level]
            measured = reading.measured[sample] if reading is not None else update.B[0]
            rounding = update.precision / 4 * float(measured.norm()) + update.floor  # of the output layer's one row
            noise = float(reading.noise[sample]) if reading is not None else rounding / math.sqrt(len(measured))
            size = float(measured.norm()) / math.sqrt(len(measured))
            A = update.A[:, :-1] if update.with_bias else update.A
            constant = update.A[:, -1] if update.with_bias else torch.zeros(len(A), dtype=A.dtype)
            noise = torch.full((len(A),), math.hypot(noise, ARITHMETIC * size), dtype=A.dtype)
            if drift and reading is not None:
                weaker = float(reading.measured.norm(dim=1).max()) / float(measured.norm())
                kept, tolerance = _beside(reading.measured, sample), min(drift, 1.0) * DRIFT * size * weaker
                if level == 0:
                    off = certificate.off if certificate else _beside(reading.measured, None)
                    kept = torch.linalg.qr(off, mode="complete")[0]
                    blended = min(drift, 1.0) * BLENDED * size * weaker ** 0.5
                    tolerance = blended * (torch.arange(len(kept)) >= off.shape[1])
                A, constant, measured = kept.T @ A, kept.T @ constant, kept.T @ measured
                noise = noise[:kept.shape[1]] + tolerance
            if update.blurred:  # as large as the measurement itself, for any rank below the number of inputs
                noise = noise + size
            row = A @ linear if level else A / std
            value = -(A @ offset) - constant
            scale = (noise / unit)[:, None]
            rows.append(torch.cat([row, -(measured / unit)[:, None]], dim=1) / scale)
            values.append(value / scale[:, 0])
        if reading is None:
            continue
        before, bias = (weights[0] / std, weights[0] @ offset + biases[0]) if level == 0 else \
            (weights[level] @ linear, weights[level] @ offset + biases[level])
        on, certain = reading.on[sample], reading.certain[sample]
        direction = torch.where(on, 1.0, -1.0).double()
        size = before.norm(dim=1).clamp(min=1e-300)
        signs.append(((direction / size)[:, None] * before)[certain])
        sign_values.append((direction / size * bias)[certain])
        linear, offset = on[:, None] * before, on * bias
    G = torch.cat(signs)
    return System(torch.cat(rows), torch.cat(values), torch.cat([G, torch.zeros(len(G), 1, dtype=G.dtype)], dim=1),
                  torch.cat(sign_values), unit, any(update.blurred for update in updates.values()),
                  float(mean.mean()) < 0.5)


def _beside(measured: Tensor, sample: int | None) -> Tensor:
    """Orthonormal basis [r, M] of what is orthogonal to the measurements of the others than `sample`."""
    others = measured if sample is None else torch.cat([measured[:sample], measured[sample + 1:]])
    if not len(others):
        return torch.eye(measured.shape[1], dtype=measured.dtype)
    return torch.linalg.qr(others.T, mode="complete")[0][:, len(others):]
