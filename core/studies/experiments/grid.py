"""From an experiment's config to its grid: which fine-tunings, and which attacks on each.

One fine-tuning serves all attacks that differ only in what the attacker knows or does. Seeds are the
outermost axis, so that a whole plot stands after the first of them and the others narrow its ranges.
"""

import itertools
from typing import Any

from core.config.experiment import ExperimentConfig
from core.io.errors import InputError
from core.reconstruction.registry import named
from core.studies.experiments.point import Point
from core.studies.experiments.presets import OWN, PRESETS, Preset
from core.studies.experiments.variants import arm_points

AXES = ("ranks", "steps", "samples", "repeats", "coefficients", "features", "learning_rate", "restarts", "iterations")
THREATS = {"free": "informed", "known": "oracle"}
MOST_POINTS = 5000


def preset_of(config: ExperimentConfig) -> Preset:
    return PRESETS[config.preset]


def grid_values(config: ExperimentConfig) -> dict[str, Any]:
    """The value of every axis: the config's own, else the preset's."""
    preset = preset_of(config).sizes[config.size]
    return {name: preset[name] if getattr(config, name) is None else getattr(config, name) for name in AXES
            if name in preset}


def expand(config: ExperimentConfig, *, width: float = 1000.0, digits: int = 20) -> list[Point]:
    """All points in the order in which they are run. `width` is the mean input width of the adapted layers, `digits`
    the number of training digits of a base that is given."""
    preset, values = preset_of(config), grid_values(config)
    if preset.arms:
        return arm_points(config, preset, values, digits=digits)
    if config.base == OWN:
        raise InputError(f"base: {config.preset} fine-tunes a base on private digits; name a pretraining run.")
    ranks = ([None] if config.full else []) + sorted(set(values["ranks"]))  # None: full fine-tuning
    method = named(preset.method)
    knowledge = list(itertools.product(
        dict.fromkeys(values["coefficients"]) if method.uses_coefficients else [None],
        dict.fromkeys(values["features"]) if "features" in method.knobs.model_fields else [None]))
    if not ranks or not knowledge:
        empty = "ranks" if not ranks else "coefficients" if not values["coefficients"] else "features"
        raise InputError(f"{empty}: the grid is empty; name at least one value"
                         f"{', or include full fine-tuning' if not ranks else ''}.")
    seeds = range(config.seed, config.seed + values["repeats"])
    victims = list(itertools.product(seeds, sorted(set(values["samples"])), sorted(set(values["steps"])), ranks))
    if len(victims) * len(knowledge) > MOST_POINTS:
        raise InputError(f"repeats: the grid has {len(victims) * len(knowledge):,} points, more than {MOST_POINTS:,}; "
                         "name fewer values.")
    points = []
    for number, (seed, samples, steps, rank) in enumerate(victims, start=1):
        victim = {"steps": steps, "samples": samples, "seed": seed, "learning_rate": learning_rate(
            values["learning_rate"], rank=rank, width=width, rates=config.rates)}
        shared = {"device": config.device, "precision": config.precision}
        adapted = {"adaptation": "full"} if rank is None else {"rank": rank}
        finetune = {"kind": "finetune", "base": config.base, **victim, **adapted, **shared}
        for coefficients, features in knowledge:
            varied = {"adaptation": "full" if rank is None else "lora", "rank": rank, **victim,
                      "coefficients": coefficients, "features": features, "method": preset.method}
            attack = {"kind": "attack", "method": preset.method, "threat": THREATS.get(coefficients, "informed"),
                      "seed": seed, "restarts": values["restarts"], "iterations": values["iterations"], **shared,
                      **({"features": features} if features == "both" else {})}
            points.append(Point(varied, number, finetune, attack))
    return points


def learning_rate(full: float, *, rank: int | None, width: float, rates: str) -> float:
    """The learning rate of a fine-tuning.

    A first LoRA step moves W by -lr G A^T A instead of -lr G. peft draws A uniformly with variance 1 / (3 width),
    so E[A^T A] = rank / (3 width): *matched* divides by it. Three digits are kept: a rate that people can type.
    """
    if rank is None or rates == "same":
        return full
    return float(f"{full * 3 * width / rank:.3g}")


def count_runs(points: list[Point]) -> tuple[int, int]:
    """Numbers of fine-tunings, or of pretrainings where nothing is fine-tuned, and of attacks."""
    return len({point.finetuning for point in points if point.finetune or point.pretrain}), len(points)


def victim_label(varied: dict[str, Any]) -> str:
    """A fine-tuning in words: ``rank 8, T = 10, N = 2, seed 0``, or its arm."""
    if "arm" in varied:
        return f"{varied['arm']}, seed {varied['seed']}"
    rank = "full" if varied["adaptation"] == "full" else f"rank {varied['rank']}"
    return f"{rank}, T = {varied['steps']}, N = {varied['samples']}, seed {varied['seed']}"


def label(varied: dict[str, Any]) -> str:
    """A point in words: its fine-tuning, and what the attack knows or does; or its arm."""
    if "arm" in varied:
        return victim_label(varied)
    parts = [victim_label(varied), str(varied["method"]).upper()]
    parts += ["coefficients known"] if varied["coefficients"] == "known" else []
    parts += ["features at both ends"] if varied["features"] == "both" else []
    return ", ".join(parts)
