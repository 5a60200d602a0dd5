"""The table of an experiment: one row a point, from the reports of its fine-tuning and its attack."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from core.assessment.finding import controls_of
from core.io.csv_text import csv_text

Report = dict[str, Any]
# Columns of rows that were written when only attacks on trained weights had a wrong release beside them, as chance.
EARLIER = {"chance_mean_ssim": "wrong_release_ssim", "chance_recovered": "wrong_release_recovered"}

# In the order of the table; names with their units are in `core.plots.experiments`.
VARIED = ("arm", "adaptation", "rank", "steps", "samples", "seed", "learning_rate", "coefficients", "features",
          "method")
COLUMNS = ("state", *VARIED, "mean_ssim", "mean_psnr", "recovered", "targets", "mean_image_ssim", "wrong_release_ssim",
           "wrong_release_recovered", "finding", "residual", "base_residual", "largest_coefficient", "loss_before",
           "loss_after", "flips", "feature_cosine", "coefficient_drift", "weight_change", "visible", "finetune_seconds",
           "attack_seconds", "seconds", "pretrain", "finetune", "attack", "reason")


def point_row(varied: dict[str, Any], *, pretrain: str = "", finetune: str = "", attack: str = "",
              base: Report | None = None, victim: Report | None = None, found: Report | None = None,
              finetune_seconds: float = 0.0, attack_seconds: float = 0.0, reason: str = "") -> dict[str, Any]:
    """A row. `base`, `victim` and `found` are the reports as far as they exist; a `reason` marks the point as failed.

    base_residual: relative KKT residual of all layers of a base that the experiment pretrained.
    largest_coefficient: |sigmoid(f) - y| at the base, of the sample that has most. flips: share of (sample, neuron)
    pairs, mean over layers. feature_cosine, coefficient_drift: mean over samples. mean_ssim: over all `targets`,
    matched one to one; recovered: how many of them are above 0.4. mean_image_ssim, wrong_release_…: what they have to
    beat (`core.assessment.controls`); finding: whether they do.
    """
    score = (found or {}).get("score") or {}
    controls, verdicts = controls_of(score), (victim or {}).get("verdicts")
    return {
        "state": "failed" if reason else "done", "reason": reason, **dict.fromkeys(VARIED), **varied,
        "pretrain": pretrain, "finetune": finetune,
        "attack": attack,
        **{name: score.get(name) for name in ("mean_ssim", "mean_psnr", "targets", "ssim", "recovered", "finding")},
        "mean_image_ssim": controls.get("mean_image"), "wrong_release_ssim": controls.get("wrong_release"),
        "wrong_release_recovered": controls.get("wrong_release_recovered"),
        "residual": ((found or {}).get("residuals") or {}).get("residual"),
        "base_residual": (base or {}).get("kkt_residual"),
        **{name: (victim or {}).get(name)
           for name in ("largest_coefficient", "loss_before", "loss_after", "weight_change")},
        **{name: _mean((victim or {}).get(name)) for name in ("flips", "feature_cosine", "coefficient_drift")},
        "visible": None if verdicts is None else len(verdicts) - verdicts.count("hidden"),
        "finetune_seconds": round(finetune_seconds, 3), "attack_seconds": round(attack_seconds, 3),
        "seconds": round(finetune_seconds + attack_seconds, 3)}


def renamed(row: dict[str, Any]) -> dict[str, Any]:
    """A stored row under today's names."""
    return {EARLIER.get(name, name): value for name, value in row.items()}


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The table as CSV, every column whether or not a row has it."""
    return csv_text([renamed(row) for row in rows], COLUMNS)


def _mean(values: dict[str, float] | list[float | None] | float | None) -> float | None:
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list):
        present = [value for value in values if value is not None]
        return fmean(present) if present else None
    return values
