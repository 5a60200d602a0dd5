"""Choosing the grid of an experiment: base and axes outside the form, so that its cost follows at once."""

from typing import Any

import streamlit as st

from core.config.experiment import ExperimentConfig
from core.io.errors import InputError
from core.io.wording import counted
from core.reconstruction.registry import METHODS
from core.runs.kinds import parse_config
from core.studies.experiments.grid import count_runs, expand, grid_values
from core.studies.experiments.presets import OWN, PRESETS
from core.studies.experiments.variants import OWN_DIGITS
from pages.components.form import live_knobs
from pages.components.knobs import typed
from pages.components.references import Choice, choose_base

AXES = ("ranks", "steps", "samples", "repeats", "coefficients", "features", "full")
ARMS_AXES = ("repeats", "restarts", "iterations")
COMMON = ("name", "seed", "device", "precision")
COLUMNS = 4


def choose_grid(defaults: dict[str, Any], stamp: str) -> Choice:
    """Size, base and axes of an experiment, prefilled from its preset, with the number of runs that they make."""
    preset = PRESETS[defaults.get("preset", ExperimentConfig.model_fields["preset"].default)]
    sizes = {"small": f"Small: about {preset.minutes} min on two cores", "full": "The whole grid: hours"}
    size = st.segmented_control("Size", list(sizes), default=defaults.get("size", "small"), required=True,
                                key=f"experiment-size/{stamp}", persist_state="session", format_func=sizes.__getitem__)
    start = ExperimentConfig(**{**defaults, "size": size, "base": "any"})
    stamp = f"{stamp}/{size}"
    if preset.arms:
        return _choose_arms(defaults, stamp, start)
    base = choose_base(defaults, stamp, kind="experiment")
    filled = {**defaults, **grid_values(start), "full": start.full}
    method = METHODS[preset.method]
    idle = {"coefficients": not method.uses_coefficients, "features": "features" not in method.knobs.model_fields}
    hidden = frozenset(name for name, hide in idle.items() if hide)
    shown = [name for name in AXES if name not in hidden]
    chosen: dict[str, Any] = {"preset": start.preset, "size": start.size, **base.fixed,
                              **live_knobs("experiment", shown, filled, stamp, columns=COLUMNS)}
    _cost(chosen)
    return Choice(chosen, hidden=hidden)


def _choose_arms(defaults: dict[str, Any], stamp: str, start: ExperimentConfig) -> Choice:
    """An experiment on a base alone: its own bases, or one that is named, and the number of seeds."""
    preset = PRESETS[start.preset]
    st.markdown("**Settings**: " + " · ".join(arm.name for arm in preset.arms))
    own = preset.own_bases or st.toggle(
        f"Pretrain {OWN_DIGITS} digits for each seed", value=defaults.get("base", OWN) == OWN,
        key=f"experiment-own/{stamp}", persist_state="session",
        help="Seconds each, until the KKT residual is flat. Off: one base of yours is attacked with every seed.")
    fixed = {"base": OWN} if own else choose_base(
        {**defaults, "base": ""} if defaults.get("base") == OWN else defaults, stamp, kind="experiment").fixed
    filled = {**defaults, **grid_values(start)}
    axes = [name for name in ARMS_AXES if not any(name in arm.knobs for arm in preset.arms)]
    chosen = {"preset": start.preset, "size": start.size, **fixed,
              **live_knobs("experiment", axes, filled, stamp, columns=COLUMNS)}
    _cost(chosen)
    return Choice(chosen, hidden=frozenset(ExperimentConfig.model_fields) - {*chosen, *COMMON})


def _cost(chosen: dict[str, Any]) -> None:
    """How many runs, before they are launched."""
    try:
        config = parse_config({"kind": "experiment", **chosen, "base": chosen["base"] or "any"})
        points = expand(config)
    except InputError:
        return  # said at the field, or when the form is sent
    victims, attacks = count_runs(points)
    values, noun = grid_values(config), "fine-tuning" if points[0].finetune else "pretraining"
    on = f"**{counted(victims, noun)}**" if victims else "the base"
    each = "" if not points[0].finetune else (
        f"Unless you change it below, an attack is {counted(values['restarts'], 'restart')} of "
        f"{typed(values['iterations'])} steps. ")
    st.info(f"**{counted(attacks, 'attack')}** on {on}, one after another. {each}What has ended is kept: Stop and "
            "Resume at any time.", icon=":material/calculate:")
