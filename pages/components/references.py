"""Choosing what a run builds on: the base of a fine-tuning, the victim of an attack."""

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.data.catalogue import kind_of
from core.io.wording import clock, counted, number, percent
from core.plots.titles import title
from core.runs.directory import Run
from core.runs.reports.training import FinetuneReport, PretrainReport
from core.runs.store import RunStore, referred
from pages.components.layout import NAVIGATION, chips, paged
from pages.components.pictures import TRUTH, strip
from pages.components.reading import data_source, pictures
from pages.components.runs import band, caption, facts_html, own, plain
from pages.components.upload import show_adapter, show_checkpoint, upload

ELSEWHERE = "elsewhere"
CARDS = 4
FILE = "A .safetensors file, or a .pth file in the layout of the public Haim et al. code."
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
        key = f"{kind}-base-path/{stamp}"
        upload("Upload a checkpoint", key, help=FILE)
        path = _path_field(st, "Path of the base checkpoint", key, _path(defaults, "base"), "/path/to/base.safetensors",
                           FILE)
        show_checkpoint(path)
        return Choice({"base": path})
    chips({"Data": data_source(run), **_base_facts(run)})
    return Choice({"base": run.id})


def _base_facts(run: Run) -> dict[str, str]:
    """How far a base was trained, and how well it does."""
    report = run.report(PretrainReport) or PretrainReport()
    error, seen, kind = report.train_error, report.holdout_accuracy, kind_of(report.problem)
    return {"problem": kind.title, "pretrained on": kind.counted(report.samples),
            "ln loss": number(report.log_loss), "KKT residual": number(report.kkt_residual),
            "training accuracy": "" if error is None else percent(1 - error),
            "hold-out accuracy": "" if seen is None else percent(seen)}


def choose_victim(defaults: dict[str, Any], stamp: str, *, kind: str = "attack") -> Choice:
    """The `finetune` run of an attack or a search, or the files that stand for it."""
    run = _choose(kind, "finetune", "finetune", "Victim", "Files made elsewhere…", defaults, stamp)
    if run is None:
        keys = {name: f"{name}/{stamp}" for name in ("checkpoint", "adapter", "tuned")}
        with st.expander("Upload files", icon=":material/upload:"):
            upload("Base checkpoint file", keys["checkpoint"], help=FILE)
            upload("Adapter files", keys["adapter"], folder=True,
                   help="adapter_config.json and adapter_model.safetensors together, as peft saves them.")
            upload("Fine-tuned checkpoint file", keys["tuned"], help=FILE)
        left, middle, right = st.columns(3)
        checkpoint = _path_field(left, "Base checkpoint", keys["checkpoint"], defaults.get("checkpoint", ""),
                                 "/path/to/base.safetensors", "A .safetensors or .pth file.")
        adapter = _path_field(middle, "Adapter folder", keys["adapter"], defaults.get("adapter", ""),
                              "/path/to/adapter", "A folder with adapter_config.json and adapter_model.safetensors, "
                              "saved by any peft.")
        tuned = _path_field(right, "or fine-tuned checkpoint", keys["tuned"], defaults.get("tuned", ""),
                            "/path/to/tuned.safetensors", "The whole network after full fine-tuning, in the place of "
                            "an adapter. With neither, the base checkpoint itself is attacked.")
        show_checkpoint(checkpoint)
        show_adapter(adapter, checkpoint)
        fixed = {"finetune": "", "checkpoint": checkpoint, "adapter": adapter, "tuned": tuned}
        return Choice({**fixed, "threat": "released-only"}, promoted=FOREIGN_KNOBS)  # plus what is given below
    report, config = run.report(FinetuneReport), run.config()
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
            if base := referred(run, "base"):
                chips({"Base": title(base.config(), base.status()), **_base_facts(base)})
            visible = run.status().summary.get("visible")
            if visible is not None and report and report.visibility:
                total = len(report.visibility)
                rest = " The rest is out of reach for any attack." if visible < total else ""
                st.markdown(f"**{visible} of {counted(total, 'sample')}** {'is' if total == 1 else 'are'} above the "
                            f"rounding floor of what is released.{rest}")
    return Choice({"finetune": run.id, "checkpoint": "", "adapter": "", "tuned": ""}, hidden=FOREIGN_KNOBS)


def _choose(kind: str, name: str, wanted: str, label: str, foreign: str, defaults: dict[str, Any],
            stamp: str) -> Run | None:
    """Cards of the finished runs, newest first, above a select box; None when the files come from elsewhere."""
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
    key = f"{kind}-{name}/{stamp}"
    picked, clicks = st.session_state.get(f"card-{key}", (None, 0))
    start = picked if picked in finished else start
    place = st.container()
    chosen = st.selectbox(
        label, options, index=options.index(start), key=f"{key}/{clicks}",
        format_func=lambda option: foreign if option == ELSEWHERE else caption(finished[option]),
        help=f"Finished runs of the {NAVIGATION[wanted].title} page, newest first.")
    with place:
        _cards(list(finished.values()), chosen, key)
    return finished.get(chosen)


def _cards(runs: list[Run], chosen: str, key: str) -> None:
    """To be chosen by their looks; the select box below finds one by its name."""
    if len(runs) < 2:
        return
    ids = [run.id for run in runs]
    shown, place = paged(runs, CARDS, key=f"cards-page-{key}-{chosen}",
                         first=ids.index(chosen) if chosen in ids else 0)
    for column, run in zip(place.columns(CARDS), shown, strict=False):
        with column, st.container(border=True, height="stretch", gap="xsmall", vertical_alignment="distribute"):
            name = title(run.config(), run.status())
            st.markdown(f"**{plain(name)}**")
            st.html(f'<div class="ai-band">{band(run, run.config())}</div>'
                    + facts_html(run.config(), run.status()))
            st.button("Chosen" if run.id == chosen else "Choose", key=f"choose-{key}-{run.id}", width="stretch",
                      icon=":material/check:" if run.id == chosen else None, disabled=run.id == chosen,
                      on_click=_pick, args=(f"card-{key}", run.id), help=f"{name}, {clock(run.status().created)}")


def _pick(key: str, run_id: str) -> None:
    st.session_state[key] = (run_id, st.session_state.get(key, (None, 0))[1] + 1)


def _path_field(place: Any, label: str, key: str, value: str, example: str, help: str) -> str:
    """A path; what is uploaded is put there through the state of its key."""
    st.session_state.setdefault(key, value)
    return place.text_input(label, key=key, placeholder=example, persist_state="session", help=help).strip()


def _foreign(defaults: dict[str, Any]) -> bool:
    return any(defaults.get(name) for name in ("checkpoint", "adapter", "tuned"))


def _path(defaults: dict[str, Any], name: str) -> str:
    """A prefilled value that is no finished run is taken for a path."""
    return str(defaults.get(name, ""))
