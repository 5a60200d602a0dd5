"""By how much a network of C outputs prefers a class to all others, and the direction in which that grows.

    hard   f_y - max_{j != y} f_j          its slope for the outputs is onehot(y) - onehot(argmax_{j != y} f_j)
    soft   f_y - log sum_{j != y} exp f_j  its slope is onehot(y) - softmax_{j != y}(f)

The hard margin is that of the maximum-margin problem, and of the KKT equation in Buzaglo et al. 2023. The cross-entropy
of C classes is softplus(-soft), so that its gradient is exactly a multiple of the soft direction: with weight decay, or
where several classes are nearly tied, trained weights are sums of these. Where one other class is far ahead of the rest
both are the same. A binary network has one logit, whose margin is y f with y in {-1, +1}.

Logits are [..., C], labels [...] in 0 … C-1.
"""

import torch
from torch import Tensor


def hard_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """[...]; positive where the label is the largest output."""
    return _own(logits, labels) - _others(logits, labels).amax(-1)


def soft_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """[...]; between the hard margin and log(C - 1) below it."""
    return _own(logits, labels) - _others(logits, labels).logsumexp(-1)


def hard_direction(logits: Tensor, labels: Tensor) -> Tensor:
    """[..., C]; of tied outputs the first counts."""
    rival = _others(logits, labels).argmax(-1)
    return _one_hot(labels, logits) - _one_hot(rival, logits)


def soft_direction(logits: Tensor, labels: Tensor) -> Tensor:
    """[..., C]; 1 at the label, and -1 shared out among the others."""
    return _one_hot(labels, logits) - _others(logits, labels).softmax(-1)


def soft_direction_pull_back(direction: Tensor, labels: Tensor, gradient: Tensor) -> Tensor:
    """From the slope [..., C] with respect to `soft_direction` to that with respect to the logits."""
    share = _one_hot(labels, direction) - direction  # the softmax, 0 at the label
    return share * ((share * gradient).sum(-1, keepdim=True) - gradient)


def signs(labels: Tensor) -> Tensor:
    """Labels [...] in {0, 1} to y in {-1, +1}, int64."""
    return 2 * labels.long() - 1


def _own(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(-1, labels[..., None])[..., 0]


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits with -infinity at the label."""
    return logits.masked_fill(_is_class(labels, logits), float("-inf"))


def _one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """[..., C]. torch's own looks at the labels, for which a GPU would have to be waited for."""
    return _is_class(labels, like).to(like)


def _is_class(labels: Tensor, like: Tensor) -> Tensor:
    return torch.arange(like.shape[-1], device=like.device) == labels[..., None]
