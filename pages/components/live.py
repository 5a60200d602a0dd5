"""A run's own view: what is known of it now, refreshed while it is active."""

from pathlib import Path

import streamlit as st

from core.config.knob import RunConfig
from core.data.catalogue import KINDS
from core.io.errors import InputError
from core.io.wording import ago, duration, number
from core.plots.compare import changed_knobs
from core.plots.panels import COMPARED
from core.plots.titles import title
from core.reconstruction import registry
from core.runs.directory import Run
from core.runs.repeat import repeat_command
from core.runs.reports.attack import AttackReport
from core.runs.status import Status
from core.runs.store import RunStore, referred
from pages.components import actions
from pages.components.differences import differences
from pages.components.export import exports
from pages.components.knobs import knobs, typed
from pages.components.layout import NAVIGATION, chips, open_run, present
from pages.components.live_attack import attack_view
from pages.components.live_experiment import experiment_view
from pages.components.live_finetune import finetune_view
from pages.components.live_pretrain import pretrain_view
from pages.components.live_search import search_view
from pages.components.notes import notes
from pages.components.reading import data_source
from pages.components.runs import badge, ended_text, fraction, load_facts, parent, plain, progress_text

REFRESH_SECONDS = 1.5
VIEWS = {"pretrain": pretrain_view, "finetune": finetune_view, "attack": attack_view, "experiment": experiment_view,
         "search": search_view}
BELONGS = {"experiment": "A point of an experiment", "search": "A trial of a search"}
REPEATABLE = ("stopped", "failed", "interrupted")


def show_run(run: Run, *, paused: bool) -> None:
    """The view as one fragment. It polls only while the run is active and the reader lets it."""
    active = run.status().active
    st.fragment(run_every=REFRESH_SECONDS if active and not paused else None)(_view)(run, active)


def _view(run: Run, was_active: bool) -> None:
    try:
        config, status = run.config(), run.status()
        if status.active != was_active:
            st.rerun()  # the whole page: the timer starts or ends with the run
        _header(run, config, status)
        _belongs_to(run)
        _like(run, config)
        with st.container():  # always there, empty or not: what follows keeps its place, and does not flicker
            _progress(status)
            actions.show_action_error()
        with st.container():
            VIEWS[config.kind](run, config, status)
        _details(run, config)
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def _header(run: Run, config: RunConfig, status: Status) -> None:
    heading = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    with heading, st.container(horizontal=True, vertical_alignment="center", width="content"):
        st.subheader(plain(title(config, status)), anchor=False, width="content")
        badge(status)
    with heading, st.container(horizontal=True, vertical_alignment="center", width="content"):
        with st.container(horizontal=True, width="content", key="chrome-state"):
            _stop_and_resume(run, status)
        present()
        with st.container(horizontal=True, vertical_alignment="center", width="content", key="chrome-onward"):
            _ways_on(run, config, status)
    chips({"Started": ago(status.created), "computing time": duration(status.seconds) if status.seconds else "",
           "data": data_source(run) if config.kind in ("pretrain", "finetune") else "",
           "base": _link_name(run, config, "base"), "victim": _link_name(run, config, "finetune"),
           **_attack_facts(run, config)})


def _stop_and_resume(run: Run, status: Status) -> None:
    if status.active:
        st.button("Stop", key=f"stop-{run.id}", icon=":material/stop:", on_click=actions.stop, args=(run,),
                  disabled=status.state == "stopping", help="Stops at the next step and keeps a checkpoint.")
    if status.state in REPEATABLE:
        st.button("Resume", key=f"resume-{run.id}", icon=":material/resume:", type="primary",
                  on_click=actions.resume, args=(run,), help="Continues from the last checkpoint.")


def _ways_on(run: Run, config: RunConfig, status: Status) -> None:
    st.page_link(NAVIGATION[config.kind].script, label="Start one like this", icon=":material/content_copy:",
                 query_params={"like": run.id})
    for rank, (page, field, label) in enumerate(_onward(config) if status.state == "done" else []):
        if st.button(label, key=f"onward-{page}-{run.id}", icon=NAVIGATION[page].icon,
                     type="secondary" if rank else "primary"):
            st.switch_page(NAVIGATION[page].script, query_params={field: run.id})


def _onward(config: RunConfig) -> list[tuple[str, str, str]]:
    """From a finished run to the next steps, the likeliest first: page, what the run is there, label."""
    if config.kind == "pretrain":
        attack = ("attack", "base", "Attack this base")
        kind = KINDS[config.problem]
        # fine-tuning has one logit
        tunable = config.network == "mlp" and not kind.modality.planar and len(kind.classes) == 2
        forth = [("finetune", "base", "Fine-tune this base")] if tunable else []
        return [attack, *forth] if config.optimizer == "max-margin" else [*forth, attack]
    if config.kind == "finetune":
        return [("attack", "finetune", f"Attack this {'network' if config.adaptation == 'full' else 'adapter'}")]
    return [("compare", "runs", "Compare")] if config.kind == "attack" else []


def _belongs_to(run: Run) -> None:
    """A child's way back to its experiment or search."""
    owner = parent(run)
    if owner and (run.path.parent / owner / "config.json").exists():
        kind = Run(run.path.parent / owner).config().kind
        open_run(kind, owner, label=BELONGS[kind], icon=NAVIGATION[kind].icon)


def _like(run: Run, config: RunConfig) -> None:
    """"Like that run, but …": what was changed in the form that the address says it was prefilled from."""
    like = st.query_params.get("like")
    if not like:
        return
    try:
        other = RunStore(run.path.parent).get(like)
        before = other.config()
    except InputError:
        st.caption(f"Made like {plain(like)}, which is no longer here.")
        return
    if before.kind != config.kind:
        return
    changed = [f"{label} {plain(old)} → **{plain(new)}**" for label, (old, new) in differences([other, run])]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Like *{plain(title(before, other.status()))}*, but "
                    + (", ".join(changed) or "nothing was changed") + ".", width="content")
        if config.kind in COMPARED:
            st.page_link(NAVIGATION["compare"].script, label="Compare both", icon=NAVIGATION["compare"].icon,
                         query_params={"runs": f"{run.id},{like}"})


def _attack_facts(run: Run, config: RunConfig) -> dict[str, str]:
    if config.kind != "attack":
        return {}
    report = run.outcome(AttackReport)
    if report is None:
        return {"threat": config.threat if config.finetune else ""}
    return {"threat": report.threat, "method": registry.title(report.method), "N": number(report.samples),
            "ended": report.status.replace("_", " ")}


def _link_name(run: Run, config: RunConfig, field: str) -> str:
    value = getattr(config, field, "")
    found = referred(run, field) if value else None
    return title(found.config(), found.status()) if found else Path(value).name


def _progress(status: Status) -> None:
    if status.active:
        st.progress(fraction(status), text=progress_text(status))
        chips(load_facts(status))
    elif status.state == "failed":
        st.error(f"**Failed.** {plain(status.message)}", icon=":material/error:")
    elif status.state in ("stopped", "interrupted"):
        text = status.message or f"Stopped after {ended_text(status)}. Resume continues from the checkpoint."
        st.warning(plain(text), icon=":material/pause_circle:")


def _details(run: Run, config: RunConfig) -> None:
    """Config, the command that repeats the run, and the log: there when wanted."""
    with st.expander("Config and command", icon=":material/terminal:", key=f"config-{run.id}"):
        changed = changed_knobs(config)
        rows = [{"knob": knob.label, "value": typed(getattr(config, knob.name)) or "–", "name": knob.name,
                 "": "changed" if knob.name in changed else ""} for knob in knobs(config.kind)]
        st.caption(f"Run `{run.id}`. The command that repeats it:")
        st.code(repeat_command(run), language="bash", wrap_lines=True)
        st.dataframe(rows, hide_index=True, height="content", alt="Every knob of this run and its value")
    with st.expander("Tags and note", icon=":material/sell:", key=f"notes-of-{run.id}"):
        notes(run)
        st.page_link(NAVIGATION["lessons"].script, label="Lessons on this run", icon=NAVIGATION["lessons"].icon,
                     query_params={"run": run.id})
    with st.expander("Export", icon=":material/download:", key=f"export-{run.id}"):
        exports(run)
    with st.expander("Log", icon=":material/article:", key=f"log-{run.id}"):
        st.code(run.log_tail() or "The log is empty.", language=None, wrap_lines=True)
        if environment := run.environment():
            st.caption("Environment")
            st.json(environment, expanded=False)
