"""The logarithm of the binary cross-entropy, exact where the loss itself is far below the smallest float.

For labels y in {-1, +1}, logits f and margins m = y f the loss is L = mean_i log(1 + exp(-m_i)), binary
cross-entropy with logits. In float32 L is 0 for margins beyond about 100, and its gradient dies before that;
log L and d log L / d m_i stay ordinary numbers for any margin: with u = exp(-m),
log softplus(-m) = log log(1 + u) = -m - u/2 + 5 u^2 / 24 + O(u^3).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

_SERIES_FROM = 12.0  # the dropped term, u^3 / 8 < 1e-16, is below float64 rounding


def signs(labels: Tensor) -> Tensor:
    """Labels [...] in {0, 1} to y in {-1, +1}, int64."""
    return 2 * labels.long() - 1


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
    """log of the mean binary cross-entropy for margins y f [N]; a scalar, natural logarithm, differentiable."""
    return torch.logsumexp(log_sample_loss(margins), 0) - math.log(len(margins))


def log_loss_pull(margins: Tensor) -> Tensor:
    """-d log L / d m_i [N]: sigmoid(-m_i) / sum_j softplus(-m_j) >= 0, the weight with which sample i pulls."""
    return torch.exp(logsigmoid(-margins) - torch.logsumexp(log_sample_loss(margins), 0))
