"""Choosing the grid of an experiment: base and axes outside the form, so that its cost follows at once."""

from typing import Any

import streamlit as st

from core.errors import InputError
from core.experiments.grid import count_runs, expand, grid_values
from core.experiments.presets import PRESETS
from core.runs.config import ExperimentConfig, parse_config
from core.viz.text import counted
from pages.components.form import live_knobs
from pages.components.knobs import typed
from pages.components.references import Choice, choose_base

AXES = ("ranks", "steps", "samples", "repeats", "coefficients", "features", "full")
NTK_ONLY = frozenset({"coefficients", "features"})
COLUMNS = 4


def choose_grid(defaults: dict[str, Any], stamp: str) -> Choice:
    """Base and axes of an experiment, prefilled from its preset, with the number of runs that they make."""
    base = choose_base(defaults, stamp, kind="experiment")
    start = ExperimentConfig(**{**defaults, "base": "any"})
    filled = {**defaults, **grid_values(start), "full": start.full}
    hidden = NTK_ONLY if PRESETS[start.preset].method == "kkt" else frozenset()
    shown = [name for name in AXES if name not in hidden]
    chosen: dict[str, Any] = {"preset": start.preset, "size": start.size, **base.fixed,
                              **live_knobs("experiment", shown, filled, stamp, columns=COLUMNS)}
    _cost(chosen)
    return Choice(chosen, hidden=hidden)


def _cost(chosen: dict[str, Any]) -> None:
    """How many runs, before they are launched."""
    try:
        config = parse_config({"kind": "experiment", **chosen, "base": chosen["base"] or "any"})
        points = expand(config)
    except InputError:
        return  # said at the field, or when the form is sent
    finetunings, attacks = count_runs(points)
    values = grid_values(config)
    st.info(f"**{counted(attacks, 'attack')}** on **{counted(finetunings, 'fine-tuning')}**, one after another. Unless "
            f"you change it below, an attack is {counted(values['restarts'], 'restart')} of "
            f"{typed(values['iterations'])} steps. What has ended is kept: Stop and Resume at any time.",
            icon=":material/calculate:")
