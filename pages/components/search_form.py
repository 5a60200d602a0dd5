"""Choosing what a search attacks, what it varies and how it judges: outside the form, so that its cost follows."""

from pathlib import Path
from typing import Any

import streamlit as st

from core.io.errors import InputError
from core.io.wording import counted
from core.reconstruction.registry import METHODS, foreign
from core.runs.kinds import SearchConfig, parse_config
from core.runs.store import RunStore
from pages.components.form import live_knobs
from pages.components.knobs import typed
from pages.components.references import Choice, choose_base, choose_victim

AXES = ("trials", "restarts", "iterations", "prune")
COLUMNS = 4
# The first method that searches and explains it.
BASE, VICTIM = (next(name for name, method in METHODS.items() if method.searches and method.explains_weights is weights)
                for weights in (True, False))
TARGETS = {BASE: "A base: the digits it was trained on", VICTIM: "A fine-tuning: its private samples"}


def choose_search(defaults: dict[str, Any], stamp: str) -> Choice:
    """The victim, the searched knobs and the length of trials, with what they cost."""
    start = VICTIM if defaults.get("finetune") or defaults.get("adapter") or defaults.get("tuned") else BASE
    target = st.segmented_control("What is attacked", list(TARGETS), default=start, required=True,
                                  format_func=TARGETS.__getitem__, key=f"search-target/{stamp}")
    victim = _base(defaults, stamp) if target == BASE else choose_victim(defaults, stamp, kind="search")
    method = ["method"] if target == VICTIM else []  # trained weights alone know one attack
    given = ["threat"] if "threat" not in victim.fixed else []
    start_values = {"method": target, **defaults}
    values = {"method": BASE, **live_knobs("search", [*given, "objective", *method], start_values, stamp),
              **live_knobs("search", ["knobs"], start_values, stamp, columns=1),
              **live_knobs("search", AXES, start_values, stamp, columns=COLUMNS)}
    if idle := [name for name in values["knobs"] if name in foreign(values["method"])]:
        st.caption(f"The {METHODS[values['method']].title} attack has no use for it: leave *{idle[0]}* out.")
    chosen = {**victim.fixed, **values}
    _cost(chosen)
    return Choice(chosen, victim.hidden | foreign(values["method"]), victim.promoted)


def _base(defaults: dict[str, Any], stamp: str) -> Choice:
    """Trained weights alone: a base of this laboratory, or a checkpoint made elsewhere."""
    store = RunStore()
    given = defaults.get("base") or defaults.get("checkpoint", "")
    folder = Path(given).parent
    known = folder.name if folder.parent == store.root.absolute() else given  # a copied search names the base's file
    chosen = choose_base({**defaults, "base": known}, stamp, kind="search").fixed["base"]
    if chosen and Path(chosen).name == chosen and (store.root / chosen).is_dir():
        chosen = str(store.get(chosen).file("result.safetensors").absolute())
    return Choice({"finetune": "", "checkpoint": chosen, "adapter": "", "tuned": "", "threat": "released-only"},
                  promoted=frozenset({"samples"}))


def _cost(chosen: dict[str, Any]) -> None:
    """What a click will start, and, for an oracle, what it is not."""
    try:
        config = parse_config({"kind": "search", **chosen})
    except InputError:
        return  # said at the field, or when the form is sent
    assert isinstance(config, SearchConfig)
    early = ", fewer where a trial is pruned" if config.prune and config.objective == "residual" else ""
    st.info(f"**{counted(config.trials, 'attack')}** of {counted(config.restarts, 'restart')} and "
            f"{typed(config.iterations)} steps each{early}, one after another. The first takes the values of the form "
            "below, to compare with. Stop and Resume at any time.", icon=":material/calculate:")
    if config.objective == "ssim":
        st.warning("**Oracle.** Trials are judged by the truth, which no adversary has: a ceiling for what tuning can "
                   "do, no attack claim.", icon=":material/visibility:")
