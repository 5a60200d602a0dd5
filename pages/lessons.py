"""Lessons: what was realised, what worked, what did not; by topic and run, searched, out and in as Markdown."""

import time
from pathlib import Path

import streamlit as st

from core.io.errors import InputError
from core.io.wording import clock, counted
from core.lessons.log import PARTS, TOPICS, Lesson, LessonLog
from core.lessons.markdown import from_markdown, to_markdown
from core.runs.store import RunStore
from pages.components.layout import heading, inside_app, linked, open_run
from pages.components.runs import caption, plain

ALL = "all topics"
LEARNED = Path(__file__).parents[1] / "assets" / "lessons.md"
HELP = {"realisation": "What you know now that you did not know before, in a sentence.",
        "worked": "What did it, with the setting.", "did_not": "What you tried in vain, so that nobody tries it again.",
        "pitfall": "What to beware of."}


def lessons() -> None:
    inside_app("lessons")
    heading("lessons")
    log = LessonLog(RunStore().root)
    left, right = st.columns([0.62, 0.38], gap="large")
    with right:
        _write(log)
        _exchange(log)
    with left:
        _read(log)


def _read(log: LessonLog) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input("Search", key="lesson-words", placeholder="words of a lesson", persist_state="session")
        topic = linked(st.selectbox, "Topic", [ALL, *TOPICS], key="topic")
    run = st.query_params.get("run")
    found = log.find(topic=None if topic == ALL else topic, words=words, run=run)
    if run:
        st.caption(f"Only lessons on run `{run}`.")
        st.button("All runs", icon=":material/close:", on_click=lambda: st.query_params.pop("run", None))
    if not found and log.find():
        st.info("No lesson passes: clear the search or choose all topics.", icon=":material/lightbulb:")
    elif not found:
        st.info("Nothing is written down yet. Write the first lesson on the right: what surprised you?",
                icon=":material/lightbulb:")
        own = from_markdown(LEARNED.read_text())
        st.button(f"Begin with {counted(len(own), 'lesson')} of this laboratory's own experiments",
                  icon=":material/menu_book:", on_click=log.save, args=(own,))
    for lesson in found:
        _card(log, lesson)


def _card(log: LessonLog, lesson: Lesson) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                st.badge(lesson.topic, color="violet")
                st.caption(clock(lesson.created), width="content")
            with st.container(horizontal=True, width="content"):
                if st.button("Edit", key=f"edit-{lesson.id}", icon=":material/edit:", type="tertiary"):
                    st.session_state["lesson-edited"] = lesson.id
                    st.rerun()
                with st.popover("Delete", icon=":material/delete:", type="tertiary"):
                    st.caption("It is gone for good. Export first if in doubt.")
                    st.button("Delete this lesson", key=f"delete-{lesson.id}", on_click=log.delete, args=(lesson.id,))
        for part, name in PARTS.items():
            if text := getattr(lesson, part).strip():
                st.markdown(f"**{name}** {plain(text)}")
        with st.container(horizontal=True):
            for name in lesson.runs:
                _link(name)


def _link(name: str) -> None:
    try:
        run = RunStore().get(name)
        open_run(run.config().kind, name, label=plain(caption(run)))
    except InputError:
        st.caption(f"`{name}` (no longer here)")


def _write(log: LessonLog) -> None:
    edited = next((lesson for lesson in log.find() if lesson.id == st.session_state.get("lesson-edited")), None)
    runs = {run.id: run for run in RunStore().list()}
    key = edited.id if edited else f"new-{st.session_state.get('lessons-written', 0)}"
    topics = list(TOPICS)
    given = [st.query_params["run"]] if st.query_params.get("run") in runs and not edited else []
    with st.form(f"lesson-{key}"):
        st.markdown("**Edit the lesson**" if edited else "**A new lesson**")
        topic = st.selectbox("About", topics, index=topics.index(edited.topic) if edited else 2, key=f"{key}-topic")
        texts = {part: st.text_area(name, getattr(edited, part, ""), help=HELP[part], key=f"{key}-{part}", height=80)
                 for part, name in PARTS.items()}
        kept = [name for name in (edited.runs if edited else given) if name in runs]
        chosen = st.multiselect("Runs", list(runs), kept, format_func=lambda name: caption(runs[name]),
                                key=f"{key}-runs", placeholder="that it was learned from")
        saved = st.form_submit_button("Save", type="primary", icon=":material/save:")
        left_out = st.form_submit_button("Cancel") if edited else False
    if left_out:
        st.session_state.pop("lesson-edited")
        st.rerun()
    if saved:
        same = {"id": edited.id, "created": edited.created} if edited else {}
        gone = [name for name in edited.runs if name not in runs] if edited else []
        try:
            log.save([Lesson(topic, **{part: text.strip() for part, text in texts.items()}, runs=(*chosen, *gone),
                             **same)])
        except InputError as error:
            st.error(str(error), icon=":material/error:")
            return
        st.session_state.pop("lesson-edited", None)
        st.session_state["lessons-written"] = st.session_state.get("lessons-written", 0) + 1
        st.rerun()


def _exchange(log: LessonLog) -> None:
    with st.expander("Export and import", icon=":material/swap_vert:"):
        kept = log.find()
        st.download_button("Export as Markdown", to_markdown(kept), f"lessons-{time.strftime('%Y%m%d')}.md",
                           "text/markdown", icon=":material/download:", on_click="ignore", disabled=not kept)
        file = st.file_uploader("Import Markdown", type="md", key="lessons-file", help="A file that was exported here, "
                                "or one of your own: a line '## NTK', then '**Worked:** …'. A lesson that is here "
                                "already is replaced, nothing is deleted.")
        if file and st.button("Import", icon=":material/upload:"):
            try:
                read = from_markdown(file.getvalue().decode())
                new = log.save(read)
                st.toast(f"{counted(new, 'new lesson')}, {len(read) - new} brought up to date.")
            except UnicodeDecodeError:
                st.error("file: it is no text in UTF-8; export it again.", icon=":material/error:")
            except InputError as error:
                st.error(str(error), icon=":material/error:")


try:
    lessons()
except InputError as error:
    st.error(str(error), icon=":material/error:")
