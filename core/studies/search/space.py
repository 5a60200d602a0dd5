"""What a search varies: the chosen knobs with their ranges, and the attack that a trial makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.config.knob import facts
from core.runs.kinds import AttackConfig, SearchConfig


@dataclass(frozen=True)
class Axis:
    """One searched knob: its range and its scale."""

    name: str
    low: float
    high: float
    log: bool


def axes(config: SearchConfig, start: dict[str, float]) -> list[Axis]:
    """The searched knobs with the ranges that are declared with them, widened to hold the first trial's values."""
    found = []
    for name in dict.fromkeys(config.knobs):
        known = facts(AttackConfig.model_fields[name])
        low, high = known["search"]
        found.append(Axis(name, min(low, start[name]), max(high, start[name]), known["scale"] == "log"))
    return found


def start_values(config: SearchConfig, *, empty: Mapping[str, float]) -> dict[str, float]:
    """The first trial: the config's own values, or what the method takes for an `empty` one."""
    own = {name: getattr(config, name) for name in config.knobs}
    return {name: empty[name] if value is None else value for name, value in own.items()}


def trial_values(config: SearchConfig, params: dict[str, float]) -> dict[str, Any]:
    """The attack of one trial, as values for `parse_config`: the search's own knobs left out, `params` put in."""
    shared = {name: getattr(config, name) for name in AttackConfig.model_fields if name not in ("kind", "name")}
    return {**shared, **params, "kind": "attack"}
