"""Images out of trained weights against all training samples of that base, beside what they have to beat."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.assessment.controls import measure_controls, other_sets, public_mean, wrong_releases
from core.assessment.finding import is_finding
from core.assessment.matching import match
from core.assessment.published import score_as_published
from core.config.thresholds import RECOVERED
from core.data.problems import Problem
from core.runs.reports.score import Controls, ImageScore, PointScore

MOST_COMPARED = 1000  # samples: every pair of images is compared, in each draw


@dataclass(frozen=True)
class Truth:
    """Training images [N, C, H, W] in [0, 1] and their mean as the network subtracts it; the mean image of public
    data, and as many samples that the base never saw, by draw (`core.assessment.controls`)."""

    x: Tensor
    labels: Tensor
    mean: Tensor
    mean_image: Tensor
    unseen: list[Tensor]


def training_truth(problem: Problem, indices: Tensor, mean: Tensor, *, images: int | None = None) -> Truth:
    """`images`: how many reconstructions will be scored, where they are not as many as the samples."""
    pool, labels = problem.holdout(indices), problem.labels[indices]
    # the base subtracts the mean of the very samples that are the truth here, so the mean is that of the hold-out
    flat = public_mean(problem, base=torch.zeros_like(mean), pool=pool)
    unseen = other_sets(problem, labels, pool=pool, images=images) if len(indices) <= MOST_COMPARED else []
    return Truth(problem.images(indices), labels, mean, flat, unseen)


def score_against(truth: Truth, x: Tensor, candidates: Tensor) -> ImageScore:
    """Two scores side by side, each beside its controls.

    Our own: `x` [M, C, H, W] in [0, 1], matched one to one, a target without an image counts as 0; ``recovered``
    counts those above an SSIM of `RECOVERED`. ``as_published``: `candidates` [K, C, H, W], all that were searched for,
    not clipped, scored by `core.assessment.published`.
    """
    found, published = match(x, truth.x), score_as_published(candidates, truth.x, truth.mean)
    controls = measure_controls(x, truth.x, mean_image=truth.mean_image, others=truth.unseen)
    return ImageScore(
        **found.stored(), recovered_above=RECOVERED, labels=truth.labels.tolist(),
        controls=controls, finding=is_finding(found.mean("ssim"), controls),
        candidates=len(candidates),
        as_published=published.model_copy(update={"controls": _published_controls(truth, candidates)}))


def score_points(truth: Truth, x: Tensor) -> PointScore:
    """Of points of the plane: distances in the unit square, one to one; ``recovered`` counts those that are near."""
    found = match(x, truth.x)
    controls = measure_controls(x, truth.x, mean_image=truth.mean_image, others=truth.unseen)
    return PointScore(**found.stored(), recovered_below=found.modality.found, labels=truth.labels.tolist(),
                      controls=controls,
                      finding=is_finding(found.mean("distance"), controls, higher=found.modality.higher))


def _published_controls(truth: Truth, candidates: Tensor) -> Controls:
    """A wrong release by the published score, and the mean image by it."""
    drawn = [score_as_published(candidates, others, truth.mean) for others in truth.unseen]
    flat = score_as_published(truth.mean_image[None], truth.x, truth.mean)
    return Controls(mean_image=flat.mean_ssim, mean_image_recovered=flat.recovered, **wrong_releases(
        [score.mean_ssim for score in drawn], [score.recovered for score in drawn]))
