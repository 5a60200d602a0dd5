"""Several runs side by side, as plain tables."""

from collections.abc import Sequence
from typing import Any

from core.runs.config import RunConfig


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
    """One row a target: ssim, psnr, ncc; empty where the attack was not scored (its truth is not known)."""
    score = (report or {}).get("score")
    if not score:
        return []
    names = ("distance",) if "distance" in (report.get("score") or {}) else ("ssim", "psnr", "ncc")
    return [dict(zip(names, values, strict=True)) for values in zip(*(score[name] for name in names), strict=True)]
