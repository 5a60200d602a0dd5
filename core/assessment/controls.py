"""What a score has to beat before it says anything: the mean image, and a wrong release.

**Mean image.** The mean of public data, given as every reconstruction: what somebody scores who attacks nothing.

**Wrong release.** The same attack on somebody else's release, scored against this truth, should find nothing. No
second attack is needed for it: let a release of private set S give images X(S), and let S and S' be drawn
independently by the same rule. Then (X(S'), S) and (X(S), S') have one distribution, so that *this* reconstruction
against other private sets, drawn by the same rule, is distributed as reconstructions of other releases against this
truth. `benchmarks.wrong_release` attacks other adapters and finds the same numbers. So the reconstruction at hand is
matched to `DRAWS` such sets of hold-out samples, none of them private and none of the base's training set.
"""

from collections.abc import Callable, Sequence
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor

from core.assessment.matching import Score, match
from core.data.problems import Problem
from core.models.modality import of_shape
from core.runs.reports.score import Controls

DRAWS = 20          # a score above all of them happens by chance once in 21 times
FEWEST_DRAWS = 3
MOST_PAIRS = 500_000  # of images that are compared, over all draws: beyond, fewer draws


def measure_controls(x: Tensor, truth: Tensor, *, mean_image: Tensor | None,
                     others: Sequence[Tensor]) -> Controls:
    """The ``controls`` of a score, for images `x` [M, C, H, W] and targets `truth` [N, C, H, W] in [0, 1].

    `mean_image` [C, H, W]; None where there is none. `others`: private sets [N, C, H, W] of the same rule. Means of
    the modality's headline over all N targets: ``mean_image``, ``wrong_release`` with its
    ``spread`` over the draws and the ``best`` of them; and how many targets count as recovered by each.
    """
    modality = of_shape(truth.shape[1:])
    metric, best = modality.headline.name, max if modality.higher else min
    flat: Score | None = None if mean_image is None else \
        match(modality.clip(mean_image.float()).expand(len(truth), *mean_image.shape), truth.float())
    drawn = [match(x.float(), other.float()) for other in others] if len(x) else []
    return Controls(mean_image=flat.mean(metric) if flat else None,
                    mean_image_recovered=flat.recovered if flat else None,
                    **wrong_releases([score.mean(metric) for score in drawn], [score.recovered for score in drawn],
                                     best=best))


def wrong_releases(values: Sequence[float], recovered: Sequence[int], *,
                   best: Callable[[Sequence[float]], float] = max) -> dict[str, Any]:
    """The draws' scores and counts, summed up; None where there is no draw."""
    summed = (fmean(values), pstdev(values), best(values), fmean(recovered)) if values else (None,) * 4
    names = ("wrong_release", "wrong_release_spread", "wrong_release_best", "wrong_release_recovered")
    return {**dict(zip(names, summed, strict=True)), "draws": len(values)}


def other_sets(problem: Problem, labels: Tensor, *, pool: Tensor, images: int | None = None) -> list[Tensor]:
    """Sets [N, C, H, W] that could have been the private ones: as many of each class as `labels` [N] has, of the
    samples in `pool` (dataset indices). [] where the pool is too small.

    `images`: how many reconstructions are compared with each, N where not given.
    """
    generator, sets = torch.Generator().manual_seed(0), []
    wanted = {int(label): int(count) for label, count in zip(*labels.unique(return_counts=True), strict=True)}
    pairs = len(labels) * max(1, len(labels) if images is None else images)
    for _ in range(min(DRAWS, max(FEWEST_DRAWS, MOST_PAIRS // pairs))):
        mixed = pool[torch.randperm(len(pool), generator=generator)]
        chosen = torch.cat([mixed[problem.labels[mixed] == label][:count] for label, count in wanted.items()])
        if len(chosen) < len(labels):
            return []
        sets.append(problem.images(chosen))
    return sets


def public_mean(problem: Problem, *, base: Tensor, pool: Tensor) -> Tensor:
    """The mean image [C, H, W] that anybody has: the base's own input mean where it is an image, else that of the
    `pool` of public samples."""
    varies = base.numel() > 2 and float(base.max() - base.min()) > 0 and float(base.min()) >= 0 and base.max() <= 1
    return base if varies else problem.images(pool).mean(0)
