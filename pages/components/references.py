"""Choosing what a run builds on: the base of a fine-tuning, the victim of an attack."""

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.data.kinds import kind_of
from core.runs.directory import Run
from core.runs.store import RunStore
from core.viz.text import counted, number
from pages.components.layout import NAVIGATION, chips
from pages.components.pictures import TRUTH, strip
from pages.components.reading import data_source, pictures
from pages.components.runs import caption, own

ELSEWHERE = "elsewhere"
FOREIGN_KNOBS = frozenset({"samples", "labels", "known_learning_rate", "known_steps"})


@dataclass(frozen=True)
class Choice:
    """What was chosen outside the form, and what that means for the form's knobs."""

    fixed: dict[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()    # left at their defaults
    promoted: frozenset[str] = frozenset()  # expert knobs that matter now


def choose_base(defaults: dict[str, Any], stamp: str, *, kind: str = "finetune") -> Choice:
    """The `base` of a fine-tuning, of all those of an experiment, or that a search attacks."""
    run = _choose(kind, "base", "pretrain", "Base network", "A file made elsewhere…", defaults, stamp)
    if run is None:
        path = st.text_input("Path of the base checkpoint", value=_path(defaults, "base"),
                             key=f"{kind}-base-path/{stamp}", placeholder="/path/to/base.safetensors",
                             persist_state="session",
                             help="A .safetensors file, or a .pth file in the layout of the public Haim et al. code.")
        return Choice({"base": path.strip()})
    report = run.report() or {}
    chips({"Data": data_source(run), "pretrained on": kind_of(report).counted(report.get("samples", 0)),
           "ln loss": number(report.get("log_loss")), "KKT residual": number(report.get("kkt_residual"))})
    return Choice({"base": run.id})


def choose_victim(defaults: dict[str, Any], stamp: str, *, kind: str = "attack") -> Choice:
    """The `finetune` run of an attack or a search, or the files that stand for it."""
    run = _choose(kind, "finetune", "finetune", "Victim", "Files made elsewhere…", defaults, stamp)
    if run is None:
        left, middle, right = st.columns(3)
        checkpoint = left.text_input("Base checkpoint", value=defaults.get("checkpoint", ""),
                                     key=f"checkpoint/{stamp}", placeholder="/path/to/base.safetensors",
                                     persist_state="session", help="A .safetensors or .pth file.")
        adapter = middle.text_input("Adapter folder", value=defaults.get("adapter", ""), key=f"adapter/{stamp}",
                                    placeholder="/path/to/adapter", persist_state="session",
                                    help="A folder with adapter_config.json and adapter_model.safetensors, "
                                         "saved by any peft.")
        tuned = right.text_input("or fine-tuned checkpoint", value=defaults.get("tuned", ""), key=f"tuned/{stamp}",
                                 placeholder="/path/to/tuned.safetensors", persist_state="session",
                                 help="The whole network after full fine-tuning, in the place of an adapter. With "
                                      "neither, the base checkpoint itself is attacked.")
        fixed = {"finetune": "", "checkpoint": checkpoint.strip(), "adapter": adapter.strip(), "tuned": tuned.strip()}
        return Choice({**fixed, "threat": "released-only"}, promoted=FOREIGN_KNOBS)  # plus what is given below
    report, config = run.report() or {}, run.config()
    with st.container(border=True):
        left, right = st.columns([2, 3], vertical_alignment="center")
        with left:
            images = pictures(run.file("truth.png"))
            strip(images, noun="private sample", size=56 if len(images) > 3 else 84)
            st.caption(f"The {TRUTH}")
        with right:
            how = {"Rank": number(config.rank)} if config.adaptation == "lora" else {"Fine-tuning": "full"}
            chips({**how, "steps": number(config.steps), "optimiser": config.optimizer,
                   "data": data_source(run)})
            visible = run.status().summary.get("visible")
            if visible is not None and report.get("visibility"):
                total = len(report["visibility"])
                rest = " The rest is out of reach for any attack." if visible < total else ""
                st.markdown(f"**{visible} of {counted(total, 'sample')}** {'is' if total == 1 else 'are'} above the "
                            f"rounding floor of what is released.{rest}")
    return Choice({"finetune": run.id, "checkpoint": "", "adapter": "", "tuned": ""}, hidden=FOREIGN_KNOBS)


def _choose(kind: str, name: str, wanted: str, label: str, foreign: str, defaults: dict[str, Any],
            stamp: str) -> Run | None:
    """A select box of finished runs; None when the files come from elsewhere."""
    done = [run for run in RunStore().list(kind=wanted) if run.status().state == "done"]
    listed = {run.id for run in own(done)} | {defaults.get(name)}
    finished = {run.id: run for run in done if run.id in listed}
    options = [*finished, ELSEWHERE]
    if not finished:
        entry = NAVIGATION[wanted]
        st.info(f"There is no finished {entry.noun} yet: make one first, or name files made elsewhere.",
                icon=":material/lightbulb:")
        st.page_link(entry.script, label=f"Go to {entry.title}", icon=entry.icon)
    given = defaults.get(name)
    start = given if given in finished else ELSEWHERE if given or not finished or _foreign(defaults) else options[0]
    chosen = st.selectbox(
        label, options, index=options.index(start), key=f"{kind}-{name}/{stamp}",
        format_func=lambda option: foreign if option == ELSEWHERE else caption(finished[option]),
        help=f"Finished runs of the {NAVIGATION[wanted].title} page, newest first.")
    return finished.get(chosen)


def _foreign(defaults: dict[str, Any]) -> bool:
    return any(defaults.get(name) for name in ("checkpoint", "adapter", "tuned"))


def _path(defaults: dict[str, Any], name: str) -> str:
    """A prefilled value that is no finished run is taken for a path."""
    return str(defaults.get(name, ""))
