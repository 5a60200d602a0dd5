"""Visibility: whether a sample can be seen in the update at all, known before any attack.

A sample enters the update in proportion to its loss coefficient g_i. On a trained base these span
many powers of ten, and what is far below the largest is lost twice: in the rounding of the stored
adapter (no attack can undo that) and, well before, in an optimiser's patience.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.config.thresholds import ROUNDING_FLOOR, VISIBLE_WITHIN
from core.diagnostics.coefficients import loss_coefficients
from core.models.mlp import MLP

# The rounding floor inside whole weights, in units of eps |theta| / |change|: measured likewise on full fine-tuning,
# first layer, at relative changes of 0.4 and 0.04 percent, where 1 % of the signs are wrong.
WITHIN_WEIGHTS = 0.07

NEAR_ZERO = 1e-4  # |sigmoid(f) - y| below this: the base fits the sample already


@dataclass(frozen=True)
class Visibility:
    """Of N private samples at theta_0."""

    values: list[float]    # |g_i| / max_j |g_j|, in [0, 1]
    verdicts: list[str]    # visible, weak, or hidden
    floor: float           # of rounding, on the scale of `values`
    largest: float         # max_i |sigmoid(f_i) - y_i|, in [0, 1]: the scale that 1 in `values` stands for
    notes: list[str]       # sentences for people; empty when all is well


def visibility(coefficients: Tensor) -> Tensor:
    """|g_i| / max_j |g_j| for coefficients [N]: [N] in [0, 1]; all 0 where every coefficient is 0."""
    sizes = coefficients.abs()
    return sizes / sizes.max() if float(sizes.max()) > 0 else torch.zeros_like(sizes)


def relative_change(base: MLP, tuned: MLP) -> float:
    """||theta_T - theta_0|| / ||theta_T|| of the hidden layer that changed most; 0 where none was trained."""
    pairs = [(old.weight.detach(), new.weight.detach())
             for old, new in zip(base.layers[:-1], tuned.layers[:-1], strict=True)]
    return max(float((new - old.to(new)).norm() / new.norm()) for old, new in pairs)


def judge(coefficients: Tensor, *, stored_dtype: str = "float32", change: float | None = None) -> Visibility:
    """Verdict on each of N samples from their coefficients [N] (of the mean loss) at theta_0.

    hidden: below the rounding floor of `stored_dtype`, out of reach of every attack on the released files. Where
    the whole network is stored and not its update, `change` is its `relative_change`: the floor rises as it falls.
    weak: above it, but more than 30x below the largest; exact methods may still reach it.
    visible: the rest.
    """
    floor = ROUNDING_FLOOR[stored_dtype]
    if change is not None:
        eps = torch.finfo(getattr(torch, stored_dtype)).eps
        floor = max(floor, WITHIN_WEIGHTS * eps / max(change, eps**2))  # above 1 nothing of the update is left
    values = visibility(coefficients).tolist()
    verdicts = ["hidden" if value < floor else "weak" if value * VISIBLE_WITHIN < 1 else "visible" for value in values]
    largest = float(coefficients.abs().max()) * len(values)
    notes = []
    if largest < NEAR_ZERO:
        notes.append(f"The base fits every sample already: the largest |sigmoid(f) - y| is {largest:.1e}, so the "
                     "update is tiny in absolute terms and training itself may round it away.")
    reasons = {"hidden": f"below {floor:.0e} of the largest, where rounding to {stored_dtype} drowns them",
               "weak": f"more than {VISIBLE_WITHIN:.0f}x below the largest, hard for gradient-based attacks"}
    for verdict, why in reasons.items():
        if count := verdicts.count(verdict):
            notes.append(f"{count} of {len(values)} samples {'is' if count == 1 else 'are'} {verdict}: coefficients "
                         f"{why}.")
    return Visibility(values, verdicts, floor, largest, notes)


def pool_coefficients(network: MLP, x: Tensor, labels: Tensor, *, batch_size: int = 2000) -> Tensor:
    """sigmoid(f_i) - y_i over a whole pool of images [M, C, H, W]: [M], float64; forward passes only."""
    place = next(network.parameters())
    with torch.no_grad():
        logits = [network(part.to(place.dtype).to(place.device)).cpu() for part in x.split(batch_size)]
    return loss_coefficients(torch.cat(logits), labels, count=1)


def is_visible(coefficients: Tensor) -> Tensor:
    """Which of a pool's coefficients [M] are within 30x of its largest: [M] bool. Precision is not considered."""
    return visibility(coefficients) * VISIBLE_WITHIN >= 1
