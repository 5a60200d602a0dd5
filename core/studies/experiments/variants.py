"""The grid of an experiment of arms: every arm of its preset, for every seed."""

from typing import Any

from core.config.experiment import ExperimentConfig
from core.io.errors import InputError
from core.studies.experiments.point import Point
from core.studies.experiments.presets import OWN, OWN_BASE, Arm, Preset

OWN_DIGITS = 2 * OWN_BASE["samples_per_class"]
WITHOUT_MEANING = ("ranks", "steps", "samples", "coefficients", "features", "learning_rate")


def arm_points(config: ExperimentConfig, preset: Preset, values: dict[str, Any], *, digits: int) -> list[Point]:
    """Every arm for the first seed, then for the next one. `digits` formed a base that is given.

    Bases of the experiment's own are others for each seed, so that the spread over the seeds is that over networks;
    arms that pretrain alike share one.
    """
    own = config.base == OWN
    if preset.own_bases and not own:
        raise InputError(f"base: {config.preset} compares bases that it pretrains itself; choose {OWN}.")
    for name in WITHOUT_MEANING:
        if getattr(config, name) is not None:
            why = "has the settings of its fine-tunings given" if preset.finetunes else \
                "attacks a base alone and fine-tunes nothing"
            raise InputError(f"{name}: {config.preset} {why}; leave it empty.")
    bases: list[dict[str, Any]] = []
    points: list[Point] = []
    for seed in range(config.seed, config.seed + values["repeats"]):
        common = {"seed": seed, "device": config.device, "precision": config.precision}
        for arm in preset.arms:
            pretrain = {"kind": "pretrain", **(arm.pretrain or OWN_BASE), **common} if own else {}
            if pretrain not in bases:
                bases.append(pretrain)
            base = bases.index(pretrain) + 1
            finetune = {"kind": "finetune", **arm.finetune, **common} if arm.finetune else {}
            known = {"threat": "informed"} if finetune else _told(
                arm, 2 * pretrain["samples_per_class"] if own else digits)
            attack = {"kind": "attack", "method": preset.method, "restarts": values["restarts"],
                      "iterations": values["iterations"], **known, **arm.knobs, **common}
            varied = {"arm": arm.name, "seed": seed, "method": preset.method}
            points.append(Point(varied, len(points) + 1 if finetune else base, finetune, attack, pretrain, base))
    return points


def _told(arm: Arm, digits: int) -> dict[str, Any]:
    """What an attack on a base alone is told of the number of its digits."""
    told = None if arm.told is None else max(1, round(arm.told * digits))
    candidates = None if arm.candidates is None else round(arm.candidates * digits)
    return {"threat": "informed" if told else "released-only", "samples": told, "candidates": candidates}
