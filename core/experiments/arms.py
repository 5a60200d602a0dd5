"""The grid of an experiment of arms: every arm of its preset, for every seed."""

from typing import Any

from core.errors import InputError
from core.experiments.presets import OWN, OWN_BASE, Preset
from core.runs.config import ExperimentConfig

OWN_DIGITS = 2 * OWN_BASE["samples_per_class"]
WITHOUT_MEANING = ("ranks", "steps", "samples", "coefficients", "features", "learning_rate")


def arm_points(config: ExperimentConfig, preset: Preset, values: dict[str, Any], *,
               digits: int) -> list[tuple[dict[str, Any], int, dict[str, Any], dict[str, Any]]]:
    """What varies, the number of the base from 1, the values that pretrain it ({} where it is given) and those of the
    attack, which lacks its checkpoint. `digits` formed a base that is given.

    A base of the experiment's own is another one for each seed: the spread over the seeds is that over networks.
    """
    _refuse_axes(config, "attacks a base alone and fine-tunes nothing")
    own, points = config.base == OWN, []
    digits = OWN_DIGITS if own else digits
    shared = {"device": config.device, "precision": config.precision}
    for number, seed in enumerate(range(config.seed, config.seed + values["repeats"]), start=1):
        pretrain = {"kind": "pretrain", "seed": seed, **OWN_BASE, **shared} if own else {}
        for arm in preset.arms:
            told = None if arm.told is None else max(1, round(arm.told * digits))
            candidates = None if arm.candidates is None else round(arm.candidates * digits)
            attack = {"kind": "attack", "method": preset.method, "threat": "informed" if told else "released-only",
                      "seed": seed, "restarts": values["restarts"], "iterations": values["iterations"],
                      "samples": told, "candidates": candidates, **arm.knobs, **shared}
            varied = {"arm": arm.name, "seed": seed, "method": preset.method}
            points.append((varied, number if own else 1, pretrain, attack))
    return points


def finetuned_arm_points(config: ExperimentConfig, preset: Preset,
                         values: dict[str, Any]) -> list[tuple[dict[str, Any], int, dict[str, Any], dict[str, Any],
                                                               dict[str, Any]]]:
    """What varies, the number of the base from 1, and the values of pretraining, fine-tuning and attack.

    Arms of the same pretraining share one base for each seed. The fine-tuning lacks its base, the attack its victim.
    """
    if config.base != OWN:
        raise InputError(f"base: {config.preset} compares bases that it pretrains itself; choose {OWN}.")
    _refuse_axes(config, "has the settings of its fine-tunings given")
    shared = {"device": config.device, "precision": config.precision}
    bases: list[tuple[int, dict[str, Any]]] = []
    points = []
    for seed in range(config.seed, config.seed + values["repeats"]):
        for arm in preset.arms:
            if (seed, arm.pretrain) not in bases:
                bases.append((seed, arm.pretrain))
            common = {"seed": seed, **shared}
            points.append(({"arm": arm.name, "seed": seed, "method": preset.method},
                           bases.index((seed, arm.pretrain)) + 1,
                           {"kind": "pretrain", **arm.pretrain, **common},
                           {"kind": "finetune", **arm.finetune, **common},
                           {"kind": "attack", "method": preset.method, "threat": "informed", **common,
                            "restarts": values["restarts"], "iterations": values["iterations"], **arm.knobs}))
    return points


def _refuse_axes(config: ExperimentConfig, why: str) -> None:
    for name in WITHOUT_MEANING:
        if getattr(config, name) is not None:
            raise InputError(f"{name}: {config.preset} {why}; leave it empty.")
