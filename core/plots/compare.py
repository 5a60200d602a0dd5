"""Several runs side by side, as plain tables."""

from collections.abc import Sequence
from typing import Any

from core.assessment.finding import controls_of, wrong_release
from core.config.knob import RunConfig
from core.io.wording import duration, fixed, number, percent
from core.runs.directory import Run
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import ImageScore, Score
from core.runs.reports.training import FinetuneReport, PretrainReport

FINDING = {True: "yes", False: "no", None: "–"}  # above the mean image and a wrong release


def config_difference(configs: Sequence[RunConfig]) -> dict[str, list[Any]]:
    """Field to one value a run, for the fields in which the runs differ; ``name`` is a label and left out."""
    dumps = [config.model_dump(mode="json") for config in configs]
    fields = [field for dump in dumps for field in dump]
    difference = {}
    for field in dict.fromkeys(fields):
        values = [dump.get(field) for dump in dumps]
        if field != "name" and any(value != values[0] for value in values):
            difference[field] = values
    return difference


def changed_knobs(config: RunConfig) -> dict[str, Any]:
    """The fields that differ from their defaults: what is special about a run."""
    fields = type(config).model_fields
    return {name: value for name, value in config.model_dump(mode="json").items()
            if fields[name].is_required() or value != fields[name].get_default()}


def in_order_of_truth(images: Sequence[Any], report: AttackReport | None) -> list[Any]:
    """Reconstructions, or what belongs to each, in the order of the targets; None where a target has none.

    As they are where the attack was not scored.
    """
    score = report.score if report else None
    if not score:
        return list(images)
    return [images[index] if index is not None and index < len(images) else None for index in score.assignment]


def scored_images(report: AttackReport | None) -> list[dict[str, float | None]]:
    """One row a target, with the measures of its modality; empty where the truth is not known."""
    return report.score.by_target() if report and report.score else []


def result_row(run: Run) -> dict[str, str]:
    """What a run came to, under the names of columns, numbers with sensible digits."""
    config, status = run.config(), run.status()
    row = {"state": status.state}
    if config.kind == "attack":
        found = run.outcome(AttackReport)
        score = found.score if found else None
        pictured, controls = score if isinstance(score, ImageScore) else ImageScore(), controls_of(score or Score())
        row |= {"mean SSIM": fixed(pictured.mean_ssim), "mean image": fixed(controls.mean_image),
                "wrong release": wrong_release(controls), "finding": FINDING[score.finding if score else None],
                "targets": number(score.targets if score else None), "PSNR (dB)": fixed(pictured.mean_psnr, 1),
                "relative residual": number(status.summary.get("residual")),
                "threat": found.threat if found else getattr(config, "threat", ""),
                "chosen by": score.selected_by if score else "–"}
    elif config.kind == "finetune":
        victim = run.outcome(FinetuneReport) or FinetuneReport()
        row |= {"loss": number(victim.loss_after), "above the floor": number(status.summary.get("visible")),
                "feature cosine": fixed(victim.feature_cosine_mean, 4),
                "weight change": number(victim.weight_change)}
    elif config.kind == "pretrain":
        base = run.outcome(PretrainReport) or PretrainReport()
        row |= {"ln loss": number(base.log_loss), "training error": percent(base.train_error),
                "KKT residual": number(base.kkt_residual), "data from": base.data_source or "–"}
    return row | {"steps": number(status.step), "time": duration(status.seconds)}
