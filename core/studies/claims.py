"""Claims of the field, each with the experiment that can overturn it and the rule by which its rows are judged.

A verdict comes from the rows of a finished experiment and from nothing else. Where seeds are paired, a claim holds when
every seed agrees with it, and is mixed when only the mean does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from core.config.experiment import ExperimentConfig
from core.config.thresholds import RECOVERED, STABLE_COSINE
from core.io.wording import fixed, number, percent
from core.runs.reports.studies import ExperimentRow
from core.studies.experiments.grid import count_runs, expand
from core.studies.experiments.presets import OWN, PRESETS

HOLDS, FAILS, MIXED = "holds", "does not hold", "mixed"
NOTICEABLE = 0.03  # of mean SSIM: smaller differences are noise between seeds
VANISHED = 1e-12   # of a loss coefficient: far below float32's rounding beside any coefficient that counts



@dataclass(frozen=True)
class Judgement:
    verdict: str
    text: str  # with the numbers


@dataclass(frozen=True)
class Claim:
    """`falsified` says what outcome would overturn it; `judge` gives None where the rows do not bear on it."""

    key: str
    text: str
    source: str
    preset: str
    falsified: str
    judge: Callable[[Sequence[ExperimentRow]], Judgement | None]

    @property
    def needs_base(self) -> bool:
        return not PRESETS[self.preset].arms

    def config(self, base: str) -> dict[str, Any]:
        """Of the small experiment that tests it."""
        return {"kind": "experiment", "preset": self.preset, "size": "small", "base": base if self.needs_base else OWN}

    @property
    def minutes(self) -> int:
        return PRESETS[self.preset].minutes

    def attacks(self) -> int:
        return count_runs(expand(ExperimentConfig(**self.config("any"))))[1]


def _features(rows: Sequence[ExperimentRow]) -> Judgement | None:
    first = [row for row in _done(rows) if row.steps == 1 and row.feature_cosine is not None]
    if not first:
        return None
    least = min(row.feature_cosine for row in first)
    return Judgement(HOLDS if least > STABLE_COSINE else FAILS,
                     f"Lowest mean feature cosine after one step: {fixed(least, 4)}, over {len(first)} fine-tunings.")


def _init(rows: Sequence[ExperimentRow]) -> Judgement | None:
    """Tiny init against a pretrained base, at both learning rates: on which side of the line their features stay."""
    means = {}
    for arm in PRESETS["ntk-init"].arms:
        values = [row.feature_cosine for row in _done(rows) if row.arm == arm.name and row.feature_cosine is not None]
        if not values:
            return None
        means[arm.name] = fmean(values)
    agree = [(value > STABLE_COSINE) == name.startswith("pretrained") for name, value in means.items()]
    return Judgement(HOLDS if all(agree) else MIXED if any(agree) else FAILS, "Mean feature cosine after one step: "
                     + ", ".join(f"{fixed(value, 3)} {name}" for name, value in means.items()) + ".")


def _overlap(rows: Sequence[ExperimentRow]) -> Judgement | None:
    """Whether the coefficients of trained samples vanish, and whether the samples stay hidden."""
    new, own = ([row for row in _done(rows) if row.arm == arm.name and row.largest_coefficient is not None]
                for arm in PRESETS["ntk-overlap"].arms)
    if not new or not own:
        return None
    tiny = max(row.largest_coefficient for row in own) < VANISHED
    hidden = fmean(row.mean_ssim for row in own) < RECOVERED
    sizes, scores = ([fmean(getattr(row, name) for row in group) for group in (own, new)]
                     for name in ("largest_coefficient", "mean_ssim"))
    return Judgement(HOLDS if tiny and hidden else MIXED if tiny or hidden else FAILS,
                     f"Largest coefficient, mean over the seeds: {number(sizes[0], 2)} of training samples, "
                     f"{number(sizes[1], 2)} of hold-out samples. Mean SSIM {fixed(scores[0])} against "
                     f"{fixed(scores[1])}.")


def _falls_with(axis: str, *, sign: int) -> Callable[[Sequence[ExperimentRow]], Judgement | None]:
    """Mean SSIM at the smallest value of `axis` against the largest; `sign` +1: the claim is that it rises.

    LoRA and full fine-tuning are judged apart: where a rank limits what comes back, nothing else may show.
    """
    def judge(rows: Sequence[ExperimentRow]) -> Judgement | None:
        verdicts, texts = [], []
        for adaptation, name in (("full", "full fine-tuning"), ("lora", "LoRA")):
            usable = [row for row in _done(rows) if row.adaptation == adaptation and getattr(row, axis) is not None
                      and row.coefficients != "known"]
            values = sorted({getattr(row, axis) for row in usable})
            if len(values) < 2:
                continue
            low, high = (fmean(row.mean_ssim for row in usable if getattr(row, axis) == value)
                         for value in (values[0], values[-1]))
            change = sign * (high - low)
            verdicts.append(HOLDS if change > NOTICEABLE else FAILS if change < -NOTICEABLE else MIXED)
            texts.append(f"{fixed(low)} at {axis} {values[0]:,} and {fixed(high)} at {values[-1]:,} with {name}")
        if not verdicts:
            return None
        return Judgement(verdicts[0] if len(set(verdicts)) == 1 else MIXED, f"Mean SSIM {'; '.join(texts)}.")

    return judge


def _comes_back(rows: Sequence[ExperimentRow]) -> Judgement | None:
    usable = [row for row in _done(rows) if row.adaptation == "lora"]
    if not usable:
        return None
    by_rank = {rank: fmean(row.mean_ssim for row in usable if row.rank == rank)
               for rank in sorted({row.rank for row in usable})}
    best = max(by_rank, key=by_rank.get)
    return Judgement(HOLDS if by_rank[best] > RECOVERED else FAILS, "Mean SSIM of the private samples: " + ", ".join(
        f"{fixed(value)} at rank {rank}" for rank, value in by_rank.items()) + ".")


def _better(one: str, other: str) -> Callable[[Sequence[ExperimentRow]], Judgement | None]:
    """Whether arm `one` beats arm `other`, seed by seed."""
    def judge(rows: Sequence[ExperimentRow]) -> Judgement | None:
        scores = {name: {row.seed: row.mean_ssim for row in _done(rows) if row.arm == name}
                  for name in (one, other)}
        seeds = sorted(scores[one].keys() & scores[other].keys())
        if not seeds:
            return None
        gains = [scores[one][seed] - scores[other][seed] for seed in seeds]
        mean = fmean(gains)
        agree = all(gain > 0 for gain in gains)
        verdict = (HOLDS if agree and mean > NOTICEABLE else MIXED if mean > NOTICEABLE else FAILS)
        first, second = (fmean(scores[name][seed] for seed in seeds) for name in (one, other))
        return Judgement(verdict, f"Mean SSIM {fixed(first)} with {one}, {fixed(second)} with {other}; the first is "
                         f"better on {sum(gain > 0 for gain in gains)} of {len(gains)} seeds.")

    return judge


def _count(rows: Sequence[ExperimentRow]) -> Judgement | None:
    """Whether a wrong N costs anything but what it must: half as many candidates show half of the targets at most."""
    right, many, few = ([row for row in _done(rows) if row.arm == name] for name in ("1×", "told 1.5 N", "told N/2"))
    if not right or not many or not few:
        return None
    scores = [fmean(row.mean_ssim for row in group) for group in (right, many)]
    shares = [fmean(row.recovered / (row.targets * part) for row in group)
              for group, part in ((right, 1.0), (few, 0.5))]
    cost = [scores[0] - scores[1] > NOTICEABLE, shares[0] - shares[1] > NOTICEABLE]
    return Judgement(HOLDS if all(cost) else MIXED if any(cost) else FAILS,
                     f"Mean SSIM {fixed(scores[0])} with as many candidates as samples, {fixed(scores[1])} with half "
                     f"as many again. Of the targets that it can show at all, {percent(shares[0])} come back with the "
                     f"right number, {percent(shares[1])} with half of it.")


def _stationarity(rows: Sequence[ExperimentRow]) -> Judgement | None:
    """The base nearest to a KKT point against the farthest one, with the residuals that this rests on."""
    far, *_, near = (arm.name for arm in PRESETS["kkt-stationarity"].arms)
    judged, left = _better(near, far)(rows), {}
    for name in (near, far):
        left[name] = [row.base_residual for row in _done(rows) if row.arm == name and row.base_residual is not None]
    if judged is None or not all(left.values()):
        return None
    return Judgement(judged.verdict, judged.text + " KKT residual of the bases: "
                     + ", ".join(f"{fixed(fmean(values))} with {name}" for name, values in left.items()) + ".")


def _done(rows: Sequence[ExperimentRow]) -> list[ExperimentRow]:
    return [row for row in rows if row.state == "done" and row.mean_ssim is not None]


CLAIMS = (
    Claim("features", "Pretrained weights keep their NTK features: cosine above 0.99 after one step.",
          "this laboratory", "ntk-steps",
          "A cosine below 0.99 at T = 1: then no attack at the base sees what training saw.", _features),
    Claim("init", "A tiny random init destroys the NTK features in one step (cosine about 0.39); pretrained weights "
          "keep them (above 0.99).", "this laboratory's plan", "ntk-init",
          "A drawn network that keeps its features, or a pretrained one that loses them, at the same learning rate.",
          _init),
    Claim("overlap", "Fine-tuning on samples that the base already fits leaves nothing to see: their loss coefficients "
          "are near 1e-18.", "this laboratory's plan", "ntk-overlap",
          f"Training samples with a coefficient above {VANISHED:g}, or that come back (mean SSIM above {RECOVERED}).",
          _overlap),
    Claim("steps", "The longer the fine-tuning, the less comes back.", "Loo et al. 2024", "ntk-steps",
          "As much at T = 200 as at T = 1: then frozen features are not what limits the attack.",
          _falls_with("steps", sign=-1)),
    Claim("rank", "The higher the rank, the more comes back.", "this laboratory", "ntk-ranks",
          "Rank 1 as good as rank 64: then the rank is no protection at all.", _falls_with("rank", sign=1)),
    Claim("algebraic", "Exact algebra brings samples back below full rank.", "this laboratory; SPEAR (2024)",
          "algebraic-ranks", "No rank above a mean SSIM of 0.4.", _comes_back),
    Claim("surrogate", "ModifiedReLU is needed: with the exact ReLU's derivative the search fails.",
          "Haim et al. 2022", "kkt-surrogate", "ReLU as good on every seed.",
          _better("ModifiedReLU, α 5 to 500", "ReLU")),
    Claim("lambda", "The multipliers need a learning rate of their own.", "Haim et al. 2022", "kkt-lambda-rate",
          "The shared rate as good on every seed.", _better("λ × 0.1", "shared, 0.05")),
    Claim("restarts", "More restarts find better images, chosen by the residual alone.", "this laboratory",
          "kkt-restarts", "One restart as good as 16: then the residual is no guide, or the landscape has one basin.",
          _better("16 restarts", "1 restart")),
    Claim("stationarity", "The nearer the base is to a KKT point, the more of its training set comes back.",
          "Haim et al. 2022", "kkt-stationarity",
          "A base far from stationarity that gives back as much, on every seed.", _stationarity),
    Claim("count", "The number of candidates must match the number of samples.", "this laboratory", "kkt-candidates",
          "As much found with too many, or each of too few as often a sample.", _count),
    Claim("compose", "Compose and reconstruct: the KKT attack on W0 + BA shows the private samples.",
          "this laboratory", "compose-rank", "No rank above a mean SSIM of 0.4.", _comes_back),
)

LADDER = sorted(CLAIMS, key=lambda claim: (claim.minutes, claim.attacks()))  # the cheapest first
