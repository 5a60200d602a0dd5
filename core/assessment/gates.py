"""Activation patterns of a reconstruction against those of the truth, at the base."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.diagnostics.flips import gates
from core.models.mlp import MLP, tangent_features

MISSING = 255  # of a target without a reconstruction


def matched_gates(network: MLP, truth: Tensor, found: Tensor, assignment: Sequence[int | None],
                  ) -> dict[str, tuple[Tensor, Tensor]]:
    """By hidden layer: gates of the targets [N, n] and of the images matched to them [N, n], uint8, 1 where open.

    `truth` and `found` [*, C, H, W] in [0, 1]. Rows of targets without a reconstruction are `MISSING`.
    """
    pairs = {}
    ours, theirs = (gates(tangent_features(network, x.to(network.input_mean))) for x in (truth, found))
    for name, open_ in ours.items():
        pairs[name] = (open_.to(torch.uint8).cpu(), in_order(theirs[name].to(torch.uint8).cpu(), assignment))
    return pairs


def in_order(rows: Tensor, assignment: Sequence[int | None]) -> Tensor:
    """Rows [M, n] uint8 in the order of the targets [N, n]."""
    missing = rows.new_full(rows.shape[1:], MISSING)
    return torch.stack([missing if index is None else rows[index] for index in assignment])


def mismatch(truth: Tensor, found: Tensor) -> list[float | None]:
    """Share of each target's neurons whose gate differs; None where it has no reconstruction."""
    return [None if bool((row == MISSING).any()) else float((row != own).double().mean())
            for own, row in zip(truth, found, strict=True)]
