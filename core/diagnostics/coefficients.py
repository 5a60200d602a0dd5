"""Loss coefficients: how strongly each sample pulls on the weights.

For the mean binary cross-entropy with logits, L = (1/N) sum_i l(f_i, y_i), the gradient is
sum_i g_i grad f_i with g_i = dL/df_i = (sigmoid(f_i) - y_i) / N. Plain SGD therefore moves the
weights by sum_i kappa_i grad f_i with kappa_i = -lr * g_i, summed over the steps.
"""

import torch
from torch import Tensor


def loss_coefficients(logits: Tensor, labels: Tensor, *, count: int | None = None) -> Tensor:
    """g_i = dL/df_i for logits [N] and labels [N] in {0, 1}: [N], float64 on the CPU.

    `count` is the number of samples in the mean (default N). Written as sigmoid of the wrong side,
    not as a difference: a well fitted sample's 1e-18 would otherwise round to 0.
    """
    sign = labels.cpu().double() * 2 - 1
    values = -sign * torch.sigmoid(-sign * logits.detach().cpu().double())
    return values / (count or len(values))


def coefficient_drift(before: Tensor, after: Tensor) -> Tensor:
    """|g_t - g_0| / |g_0| of each sample, [N]: 0 is none, 1 is wholly changed; NaN where g_0 is 0."""
    return torch.where(before != 0, (after - before).abs() / before.abs(), torch.nan)
