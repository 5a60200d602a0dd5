"""Overview: what this is, the next step, runs in flight, recent runs."""

from html import escape

import streamlit as st

from core.io.wording import counted
from core.plots.titles import title
from core.runs.directory import Run
from core.runs.notes import listed_notes
from core.runs.store import RunStore
from pages.components.layout import NAVIGATION, heading, inside_app, open_run, paged
from pages.components.runs import badge, card, fraction, own, plain, progress_text

REFRESH_SECONDS = 2.0
RECENT = 9
COLUMNS = 3
STEPS = {  # page: (what it does, what it waits for)
    "pretrain": ("Train the public base network on odd against even digits.", ""),
    "finetune": ("Teach it private digits through a LoRA adapter.", "Needs a finished base."),
    "attack": ("Reconstruct the private digits from the adapter.", "Needs a fine-tuned adapter."),
    "compare": ("Put reconstructions side by side and see what mattered.", "Needs two finished attacks."),
}


def steps(runs: list[Run]) -> None:
    """Pretrain, fine-tune, attack, compare: the state of each, the next one marked."""
    finished = {kind: 0 for kind in STEPS}
    active = dict(finished)
    for run in runs:
        kind, status = run.config().kind, run.status()
        if kind not in STEPS:  # an experiment is not a step of its own
            continue
        finished[kind] += status.state == "done"
        active[kind] += status.active
    open_steps = {"pretrain": True, "finetune": finished["pretrain"] > 0, "attack": finished["finetune"] > 0,
                  "compare": finished["attack"] > 1}
    todo = [kind for kind in ("pretrain", "finetune", "attack") if not finished[kind] and not active[kind]]
    following = todo[0] if todo else "compare" if open_steps["compare"] else "attack"
    for number, (column, (kind, (what, needs))) in enumerate(zip(st.columns(4), STEPS.items(), strict=True), 1):
        entry = NAVIGATION[kind]
        with column, st.container(border=True, height="stretch", vertical_alignment="distribute"):
            with st.container(gap="xsmall"):
                st.markdown(f"{entry.icon} **{number} · {entry.title}**")
                st.html(f'<div class="ai-facts">{escape(what)}</div>')
                st.caption(_state(kind, finished[kind], active[kind], needs if not open_steps[kind] else ""))
            if st.button(f"Open {entry.title}", key=f"go-{kind}", width="stretch",
                         type="primary" if kind == following else "secondary"):
                st.switch_page(entry.script)


def _state(kind: str, finished: int, active: int, needs: str) -> str:
    if kind == "compare":
        return needs or ":material/check_circle: Ready"
    noun = NAVIGATION[kind].noun
    parts = [f":material/play_circle: {active} in flight"] if active else []
    parts += [f":material/check_circle: {counted(finished, f'finished {noun}')}"] if finished else []
    return " · ".join(parts) or needs or f":material/radio_button_unchecked: No {noun} yet"


def in_flight(store: RunStore, expected: list[str]) -> None:
    """Progress of every active run. Reads status files only."""
    runs = [run for run in own(store.list()) if run.status().active]
    if [run.id for run in runs] != expected:
        st.rerun()  # one began or ended: the cards and the timer follow
    for run in runs:
        config, status = run.config(), run.status()
        with st.container(border=True):
            left, middle, right = st.columns([4, 6, 2], vertical_alignment="center")
            with left, st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{NAVIGATION[config.kind].icon} **{plain(title(config, status))}**", width="content")
                badge(status)
            middle.progress(fraction(status), text=progress_text(status))
            with right:
                open_run(config.kind, run.id, label="Watch")


def cards(runs: list[Run]) -> None:
    """Finished runs, newest first; where they fill more than a page, by kind and by words."""
    if len(runs) > RECENT:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kinds = [kind for kind in NAVIGATION if any(run.config().kind == kind for run in runs)]
            kind = st.pills("Kind", kinds, key="overview-kind", persist_state="session",
                            format_func=lambda kind: NAVIGATION[kind].title)
            words = st.text_input("Find", key="overview-words", persist_state="session", width=280,
                                  placeholder="words of a name, a tag or an id")
        runs = [run for run in runs if kind in (None, run.config().kind) and _matches(run, words)]
        if not runs:
            st.info("No run passes: clear the words or choose another kind.", icon=":material/filter_alt_off:")
    shown, place = paged(runs, RECENT, key="overview-page")
    with place:
        for start in range(0, len(shown), COLUMNS):
            for column, run in zip(st.columns(COLUMNS), shown[start:start + COLUMNS], strict=False):
                with column:
                    card(run)


def _matches(run: Run, words: str) -> bool:
    if not words.strip():
        return True
    text = " ".join([run.id, title(run.config(), run.status()), *listed_notes(run).tags]).lower()
    return all(word in text for word in words.lower().split())


def overview() -> None:
    inside_app("overview")
    store = RunStore()
    runs = own(store.list())
    heading("overview", "What does a published adapter give away?")
    steps(runs)
    st.page_link(NAVIGATION["demo"].script, label="Or watch all of it: the guided demo, live in about a minute and a "
                 "half", icon=NAVIGATION["demo"].icon)
    active = [run.id for run in runs if run.status().active]
    if active:
        st.subheader("In flight", anchor=False)
        st.fragment(run_every=REFRESH_SECONDS)(in_flight)(store, active)
    recent = [run for run in runs if run.id not in active]
    st.subheader("Recent runs", anchor=False)
    if not recent:
        st.info("Nothing has finished yet. Start with **1 · Pretrain**: the preset is ready, and a base takes about "
                "a minute." if not active else "The first result appears here as soon as a run has ended.",
                icon=":material/lightbulb:")
    cards(recent)
    if broken := store.broken():
        with st.expander(f"{counted(len(broken), 'folder')} could not be read", icon=":material/folder_off:"):
            st.caption("They harm no other run.")
            for name, reason in broken.items():
                st.markdown(f"**{plain(name)}** {plain(reason)}")
    st.caption(f"Runs are kept in `{store.root}`.")


overview()
