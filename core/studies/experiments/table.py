"""The table of an experiment: one row a point, from the reports of its fine-tuning and its attack."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from core.assessment.finding import controls_of
from core.io.csv_text import csv_text
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import ImageScore
from core.runs.reports.studies import ExperimentRow
from core.runs.reports.training import FinetuneReport, PretrainReport

# In the order of the table; names with their units are in `core.plots.experiments`.
VARIED = ("arm", "adaptation", "rank", "steps", "samples", "seed", "learning_rate", "coefficients", "features",
          "method")
COLUMNS = ("state", *VARIED, "mean_ssim", "mean_psnr", "recovered", "targets", "mean_image_ssim", "wrong_release_ssim",
           "wrong_release_recovered", "finding", "residual", "base_residual", "largest_coefficient", "loss_before",
           "loss_after", "flips", "feature_cosine", "coefficient_drift", "weight_change", "visible", "finetune_seconds",
           "attack_seconds", "seconds", "pretrain", "finetune", "attack", "reason")


def point_row(varied: Mapping[str, Any], *, pretrain: str = "", finetune: str = "", attack: str = "",
              base: PretrainReport | None = None, victim: FinetuneReport | None = None,
              found: AttackReport | None = None,
              finetune_seconds: float = 0.0, attack_seconds: float = 0.0, reason: str = "") -> ExperimentRow:
    """A row. `base`, `victim` and `found` are the reports as far as they exist; a `reason` marks the point as failed.

    base_residual: relative KKT residual of all layers of a base that the experiment pretrained.
    largest_coefficient: |sigmoid(f) - y| at the base, of the sample that has most. flips: share of (sample, neuron)
    pairs, mean over layers. feature_cosine, coefficient_drift: mean over samples. mean_ssim: over all `targets`,
    matched one to one; recovered: how many of them are above 0.4. mean_image_ssim, wrong_release_…: what they have to
    beat (`core.assessment.controls`); finding: whether they do.
    """
    scored = found and found.score
    score = scored if isinstance(scored, ImageScore) else ImageScore()
    controls, base, victim = controls_of(score), base or PretrainReport(), victim or FinetuneReport()
    return ExperimentRow(
        state="failed" if reason else "done", reason=reason, **{**dict.fromkeys(VARIED), **varied},
        pretrain=pretrain, finetune=finetune, attack=attack,
        mean_ssim=score.mean_ssim, mean_psnr=score.mean_psnr, targets=score.targets or None,
        ssim=score.ssim or None, recovered=score.recovered, finding=score.finding,
        mean_image_ssim=controls.mean_image, wrong_release_ssim=controls.wrong_release,
        wrong_release_recovered=controls.wrong_release_recovered, residual=found.residual if found else None,
        base_residual=base.kkt_residual, largest_coefficient=victim.largest_coefficient,
        loss_before=victim.loss_before, loss_after=victim.loss_after, weight_change=victim.weight_change,
        flips=_mean(victim.flips.values()), feature_cosine=_mean(victim.feature_cosine),
        coefficient_drift=_mean(victim.coefficient_drift),
        visible=len(victim.verdicts) - victim.verdicts.count("hidden") if victim.verdicts else None,
        finetune_seconds=round(finetune_seconds, 3), attack_seconds=round(attack_seconds, 3),
        seconds=round(finetune_seconds + attack_seconds, 3))


def to_csv(rows: Sequence[ExperimentRow]) -> str:
    """The table as CSV, every column whether or not a row has it."""
    return csv_text([row.stored() for row in rows], COLUMNS)


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are known."""
    present = [value for value in values if value is not None]
    return fmean(present) if present else None
