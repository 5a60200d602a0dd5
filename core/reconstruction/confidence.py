"""How far to trust a reconstruction, judged without the truth."""

import torch
from torch import Tensor

from core.reconstruction.candidate import Candidate

GOOD_WITHIN = 3.0  # restarts whose residual is within this factor of the best are witnesses


def confidence(candidate: Candidate, residual: Tensor, best: int) -> list[float]:
    """One number in [0, 1] for each sample of the best restart [N].

    The product of how well the update is explained, 1 - sqrt(residual), and how far independent
    restarts agree: the mean, over the other good restarts, of the highest correlation with a sample of
    the same label. Samples that differ between equally good explanations are not determined by them.
    With no other good restart only the first factor is left.
    """
    fit = (1 - residual[best].clamp(0, 1).sqrt()).item()
    good = [index for index in near_best(residual, best) if index != best]
    # clipped, as the reconstruction is: what lies outside the box is never shown
    flat = candidate.x.cpu().double().clamp(0, 1).flatten(2)
    flat = flat - flat.mean(-1, keepdim=True)
    flat = flat / flat.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    values = []
    for sample in range(flat.shape[1]):
        label = candidate.labels[best, sample].item()
        votes = []
        for index in good:
            alike = candidate.labels[index].cpu() == label
            if alike.any():
                votes.append((flat[index, alike] @ flat[best, sample]).max().clamp(min=0).item())
        agreement = sum(votes) / len(votes) if votes else 1.0
        values.append(fit * agreement)
    return values


def near_best(residual: Tensor, best: int) -> list[int]:
    """Restarts that explain the update nearly as well as the best, itself included."""
    bound = GOOD_WITHIN * residual[best].clamp(min=1e-12)
    return torch.nonzero(residual.isfinite() & (residual <= bound)).flatten().tolist()
