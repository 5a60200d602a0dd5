"""The logarithm of the cross-entropy, exact where the loss itself is far below the smallest float.

For labels y in {-1, +1}, logits f and margins m = y f the loss is L = mean_i log(1 + exp(-m_i)), binary
cross-entropy with logits. In float32 L is 0 for margins beyond about 100, and its gradient dies before that;
log L and d log L / d m_i stay ordinary numbers for any margin: with u = exp(-m),
log softplus(-m) = log log(1 + u) = -m - u/2 + 5 u^2 / 24 + O(u^3).

Of C classes, with logits f in R^C, the same holds for the soft margins of `core.models.margin`,
m_i = f_y - log sum_{j != y} exp f_j: the cross-entropy is mean_i log(1 + exp(-m_i)).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from core.models.margin import hard_margin, signs, soft_direction, soft_margin

_SERIES_FROM = 12.0  # the dropped term, u^3 / 8 < 1e-16, is below float64 rounding


@dataclass(frozen=True)
class Scores:
    """What a network says of its training set: logits [N] of one output or [N, C] of C, float64 on the CPU, with
    labels [N] in {0, 1} or 0 … C-1."""

    logits: Tensor
    labels: Tensor

    @cached_property
    def margins(self) -> Tensor:
        """[N]; the cross-entropy is softplus of their negatives."""
        return signs(self.labels) * self.logits if self.logits.ndim == 1 else soft_margin(self.logits, self.labels)

    @cached_property
    def directions(self) -> Tensor:
        """d margin / d logits, [N] or [N, C]."""
        return (signs(self.labels).to(self.logits) if self.logits.ndim == 1 else
                soft_direction(self.logits, self.labels))

    @property
    def lead(self) -> Tensor:
        """[N]: logit of the label less the largest other one; of one output the margin."""
        return self.margins if self.logits.ndim == 1 else hard_margin(self.logits, self.labels)

    def along(self, directions: Tensor) -> Tensor:
        """[N]: the logits along `directions`, those of margins at any scale of the logits."""
        parts = directions * self.logits
        return parts if parts.ndim == 1 else parts.sum(1)

    def scaled(self, factor: float) -> "Scores":
        return Scores(factor * self.logits, self.labels)

    def push(self, pull: Tensor) -> Tensor:
        """By how much each logit is pushed where each margin is pulled by `pull` [N]: [N] or [N, C]."""
        return pull * self.directions if self.logits.ndim == 1 else pull[:, None] * self.directions


def log_sample_loss(margins: Tensor) -> Tensor:
    """log softplus(-m) for margins [N]: each sample's log-loss, finite for any finite margin, differentiable."""
    far = margins > _SERIES_FROM
    # Both branches are evaluated: each gets harmless numbers where the other counts, or 0 * inf would make its
    # gradient NaN. (Not by clamp, whose gradient is 0 at the bound itself.)
    near = torch.log(-logsigmoid(torch.where(far, _SERIES_FROM, margins)))
    m = torch.where(far, margins, _SERIES_FROM)
    u = torch.exp(-m)
    return torch.where(far, -m - u / 2 + 5 * u.square() / 24, near)


def log_mean_loss(margins: Tensor) -> Tensor:
    """log of the mean cross-entropy for margins [N]; a scalar, natural logarithm, differentiable."""
    return torch.logsumexp(log_sample_loss(margins), 0) - math.log(len(margins))


def log_loss_pull(margins: Tensor) -> Tensor:
    """-d log L / d m_i [N]: sigmoid(-m_i) / sum_j softplus(-m_j) >= 0, the weight with which sample i pulls."""
    return torch.exp(logsigmoid(-margins) - torch.logsumexp(log_sample_loss(margins), 0))
