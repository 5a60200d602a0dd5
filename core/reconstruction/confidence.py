"""How far to trust a reconstruction, judged without the truth.

Every method states the same kind of thing for each of its samples: facts, each a number that says how far something
that must hold of a true image does hold (`core.reconstruction.calibration.FACTS`). One map turns them into the
probability that the image is recognisable, which means an SSIM above `core.config.thresholds.RECOVERED` against the
private sample that it is matched to:

    p = sigmoid(start - sum over facts of weight * unmet),      weight >= 0, unmet in [0, 1],

so that no unmet fact can ever raise it. Start and weights, by method, are fitted on attacks whose truth is known, half
of a pool that holds foreign bases, wrong means, inverted pictures, merged files, drift and AdamW as well, and lie in
``assets/confidence.json``; `benchmarks.confidence` makes them and measures them on the other half. On top, what an
attack itself calls a guess stays at `GUESS` or below.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from core.config.thresholds import POOR_FIT
from core.reconstruction.calibration import FACTS, calibration
from core.reconstruction.candidate import Candidate
from core.reconstruction.solvers.protocol import Status

GOOD_WITHIN = 3.0  # restarts whose residual is within this factor of the best are witnesses
GUESS = 0.45       # most that a result may claim whose own status calls it a guess
UNEXPLAINED = POOR_FIT ** 0.5  # of the release, in norm, from which a result is a guess
MEAN_ALIKE = 0.98  # an image that correlates more than this with the input mean is the mean
# Statuses that say: what is shown is a guess.
GUESSES = (Status.CONTRADICTORY, Status.NOT_HOMOGENEOUS, Status.NOT_STATIONARY, Status.DIVERGED)

SampleFacts = Mapping[str, float]  # by the names of `FACTS`; a fact that says nothing here is left out


def confidence(method: str, samples: Sequence[SampleFacts], status: Status) -> list[float]:
    """The probability that each image is recognisable (see above), [N] in [0, 1]."""
    known = calibration()
    return [min(probability(facts, known.start[method], known.weights[method]), ceiling(facts, status))
            for facts in samples]


def probability(facts: SampleFacts, start: float, weights: Mapping[str, float]) -> float:
    """The map alone, without what a status caps."""
    against = sum(weight * FACTS[name].degree(facts[name]) for name, weight in weights.items() if name in facts)
    return 1 / (1 + math.exp(min(700.0, against - start)))


def ceiling(facts: SampleFacts, status: Status) -> float:
    """`GUESS` for a guess by the attack's own words, for an image that is the mean, and where much stays
    unexplained; else 1."""
    left = max(facts.get("residual", 0), facts.get("unexplained", 0))
    guess = status in GUESSES or facts.get("contradiction", 0) > 0 or left > UNEXPLAINED or \
        facts.get("mean", 0) > MEAN_ALIKE
    return GUESS if guess else 1.0


def image_facts(x: Tensor, mean: Tensor) -> list[dict[str, float]]:
    """What images [N, C, H, W] in [0, 1] say of themselves: likeness to the input mean [C, H, W], and roughness.

    A private sample is like the mean of its kind, and is not the mean. Where the mean is flat nothing can be compared,
    and inputs may have been centred by one that nobody told.
    """
    found = []
    told = mean.numel() > 0 and float(mean.max() - mean.min()) > 0  # of a flat mean there is nothing to be like
    for image in x.detach().cpu().double():
        flat = image.flatten() - image.mean()
        spread = float(flat.abs().mean())
        variation = float(image.diff(dim=-1).abs().sum() + image.diff(dim=-2).abs().sum()) / image.numel()
        alike = correlation(image, mean.detach().cpu().double())
        found.append({**({"mean": alike, "unlike": 1 - alike} if told else {}), "unsaid": float(not told),
                      **({"rough": variation / max(spread, 1e-9)} if min(image.shape[-2:]) > 2 else {})})
    return found


def searched_facts(candidate: Candidate, residual: Tensor, best: int, mean: Tensor) -> list[dict[str, float]]:
    """Facts of every sample of the best restart [N] of a search that left `residual` [R] unexplained."""
    x = candidate.x[best].detach().cpu().double()
    good = [index for index in near_best(residual, best) if index != best]
    flat = _unit(candidate.x.cpu().double().clamp(0, 1))  # clipped, as the reconstruction is
    lam = candidate.lam[best].detach().cpu().double().abs()
    labels = candidate.labels.cpu()
    shown = image_facts(x.clamp(0, 1), mean)
    for sample, facts in enumerate(shown):
        alike = labels == labels[best, sample]
        others = alike[best].clone()
        others[sample] = False
        facts |= {"unexplained": float(residual[best].clamp(0, 1).sqrt()),
                  "weak": float(lam.max() / lam[sample].clamp(min=1e-300)),
                  "outside": float((x[sample] - x[sample].clamp(0, 1)).abs().mean()),
                  "alone": float(not good),
                  "disagreement": 1 - _agreement(flat, alike, good, best, sample),
                  "copy": float((flat[best, others] @ flat[best, sample]).max()) if others.any() else 0.0}
    return shown


def _agreement(flat: Tensor, alike: Tensor, good: list[int], best: int, sample: int) -> float:
    """Mean, over the other good restarts, of the highest correlation with a sample of the same label: samples that
    differ between equally good explanations are not determined by them. 1 without another good restart."""
    votes = [float((flat[index, alike[index]] @ flat[best, sample]).max().clamp(min=0))
             for index in good if alike[index].any()]
    return sum(votes) / len(votes) if votes else 1.0


def _unit(x: Tensor) -> Tensor:
    """Images [..., C, H, W] as vectors of mean 0 and length 1."""
    flat = x.flatten(-3)
    flat = flat - flat.mean(-1, keepdim=True)
    return flat / flat.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def near_best(residual: Tensor, best: int) -> list[int]:
    """Restarts that explain the update nearly as well as the best, itself included."""
    bound = GOOD_WITHIN * residual[best].clamp(min=1e-12)
    return torch.nonzero(residual.isfinite() & (residual <= bound)).flatten().tolist()


def correlation(a: Tensor, b: Tensor) -> float:
    """Of two images' pixels, in [-1, 1]; 0 where one of them is flat."""
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    return float(a @ b / (a.norm() * b.norm()).clamp(min=1e-12))
