"""Several runs side by side, as plain tables."""

from collections.abc import Sequence
from typing import Any

from core.assessment.finding import controls_of, wrong_release
from core.config.knob import RunConfig
from core.io.wording import duration, fixed, number, percent
from core.models.modality import of_score
from core.runs.directory import Run

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


def in_order_of_truth(images: Sequence[Any], report: dict[str, Any] | None) -> list[Any]:
    """Reconstructions, or what belongs to each, in the order of the targets; None where a target has none.

    As they are where the attack was not scored.
    """
    score = (report or {}).get("score")
    if not score:
        return list(images)
    return [images[index] if index is not None and index < len(images) else None for index in score["assignment"]]


def scored_images(report: dict[str, Any] | None) -> list[dict[str, float | None]]:
    """One row a target, with the measures of its modality; empty where the truth is not known."""
    score = (report or {}).get("score")
    if not score:
        return []
    names = [measure.name for measure in of_score(score).measures]
    return [dict(zip(names, values, strict=True)) for values in zip(*(score[name] for name in names), strict=True)]


def result_row(run: Run) -> dict[str, str]:
    """What a run came to, under the names of columns, numbers with sensible digits."""
    config, status = run.config(), run.status()
    report = run.outcome() or {}
    row = {"state": status.state}
    if config.kind == "attack":
        score: dict[str, Any] = report.get("score") or {}
        controls = controls_of(score)
        row |= {"mean SSIM": fixed(score.get("mean_ssim")), "mean image": fixed(controls.get("mean_image")),
                "wrong release": wrong_release(controls), "finding": FINDING[score.get("finding")],
                "targets": number(score.get("targets")),
                "PSNR (dB)": fixed(score.get("mean_psnr"), 1), "relative residual": number(
                    status.summary.get("residual")), "threat": report.get("threat", config.threat),
                "chosen by": str(score.get("selected_by", "–"))}
    elif config.kind == "finetune":
        row |= {"loss": number(report.get("loss_after")), "above the floor": number(status.summary.get("visible")),
                "feature cosine": fixed(report.get("feature_cosine_mean"), 4),
                "weight change": number(report.get("weight_change"))}
    elif config.kind == "pretrain":
        row |= {"ln loss": number(report.get("log_loss")), "training error": percent(report.get("train_error")),
                "KKT residual": number(report.get("kkt_residual")), "data from": str(report.get("data_source", "–"))}
    return row | {"steps": number(status.step), "time": duration(status.seconds)}
