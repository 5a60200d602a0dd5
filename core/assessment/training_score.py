"""Images out of trained weights against all training samples of that base, and by chance."""

from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from core.assessment.matching import match
from core.assessment.published import score_as_published
from core.config.thresholds import RECOVERED
from core.data.problems import Problem

CHANCE_DRAWS = 3
MOST_FOR_CHANCE = 1000  # samples: every pair of images is compared, in each draw


@dataclass(frozen=True)
class Truth:
    """Training images [N, C, H, W] in [0, 1], their mean as the network subtracts it, and as many unseen, by draw."""

    x: Tensor
    labels: Tensor
    mean: Tensor
    unseen: list[Tensor]


def training_truth(problem: Problem, indices: Tensor, mean: Tensor) -> Truth:
    return Truth(problem.images(indices), problem.labels[indices], mean, _unseen(problem, indices))


def score_against(truth: Truth, x: Tensor, candidates: Tensor) -> dict[str, Any]:
    """Two scores side by side, lists over the targets; by chance: the same images with samples the base never saw.

    Our own: `x` [M, C, H, W] in [0, 1], matched one to one, a target without an image counts as 0; ``recovered``
    counts those above an SSIM of `RECOVERED`. ``as_published``: `candidates` [K, C, H, W], all that were searched for,
    not clipped, scored by `core.assessment.published`.
    """
    found, published = match(x, truth.x), score_as_published(candidates, truth.x, truth.mean).facts()
    own_chance = [match(x, others) for others in truth.unseen]
    published_chance = [score_as_published(candidates, others, truth.mean).facts() for others in truth.unseen]
    published |= {f"chance_{name}": _mean([facts[name] for facts in published_chance])
                  for name in ("mean_ssim", "recovered")}
    return {**found.values, **{f"mean_{name}": found.mean(name) for name in found.values}, "targets": found.targets,
            "recovered": found.recovered, "recovered_above": RECOVERED, "assignment": found.assignment,
            "labels": truth.labels.tolist(), "chance_mean_ssim": _mean([one.mean("ssim") for one in own_chance]),
            "chance_recovered": _mean([one.recovered for one in own_chance]), "candidates": len(candidates),
            "as_published": published}


def score_points(truth: Truth, x: Tensor) -> dict[str, Any]:
    """Of points of the plane: distances in the unit square, one to one; ``recovered`` counts those that are near."""
    found, chance = match(x, truth.x), [match(x, others) for others in truth.unseen]
    return {**found.values, "mean_distance": found.mean("distance"), "targets": found.targets,
            "recovered": found.recovered, "recovered_below": found.modality.found, "assignment": found.assignment,
            "labels": truth.labels.tolist(), "chance_mean_distance": _mean([one.mean("distance") for one in chance]),
            "chance_recovered": _mean([one.recovered for one in chance])}


def _unseen(problem: Problem, indices: Tensor) -> list[Tensor]:
    """Draws of unseen samples, as many of each class as the base has; none for many samples or too few unseen."""
    if len(indices) > MOST_FOR_CHANCE:
        return []
    generator, draws = torch.Generator().manual_seed(0), []
    unseen, classes = problem.holdout(indices), problem.labels[indices].unique().tolist()
    for _ in range(CHANCE_DRAWS):
        mixed = unseen[torch.randperm(len(unseen), generator=generator)]
        counts = [int((problem.labels[indices] == label).sum()) for label in classes]
        others = torch.cat([mixed[problem.labels[mixed] == label][:count]
                            for label, count in zip(classes, counts, strict=True)])
        if len(others) < len(indices):
            return []
        draws.append(problem.images(others))
    return draws


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None
