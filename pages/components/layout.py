"""The pages, and the pieces of chrome that they share."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from core.runs.reports.stored import Report
from pages.components.glossary import term

ICON = Path(__file__).parents[2] / "assets" / "icon.svg"


@dataclass(frozen=True)
class Entry:
    """One page of the navigation, with the sentence under its title."""

    script: str
    title: str
    icon: str
    lead: str
    noun: str = ""  # what a run of this page is called
    listed: bool = True  # in the menu, which has room for nine


NAVIGATION = {
    "overview": Entry("pages/overview.py", "Overview", ":material/dashboard:",
                      "Afterimage trains small networks, fine-tunes them with LoRA on private digits, and attacks what "
                      "would be released. It shows how much of the digits comes back, and why."),
    "demo": Entry("pages/demo.py", "Guided demo", ":material/slideshow:",
                  "Five steps, each made live: from a public base to the private digits, and what a small rank "
                  "protects. About a minute and a half on two cores.", listed=False),
    "pretrain": Entry("pages/pretrain.py", "Pretrain", ":material/model_training:",
                      "Train the public base network. The attacks lean on how close it gets to stationarity.",
                      "base"),
    "finetune": Entry("pages/finetune.py", "Fine-tune", ":material/tune:",
                      "Fine-tune a base on private samples, with LoRA or fully, and see what the release gives away.",
                      "fine-tuning"),
    "attack": Entry("pages/attack.py", "Attack", ":material/center_focus_strong:",
                    "Reconstruct the private samples from the published adapter or network alone.", "attack"),
    "experiment": Entry("pages/experiments.py", "Experiments", ":material/science:",
                        "Run a whole grid of fine-tunings and attacks, or of attacks on bases alone, and see what "
                        "comes back over ranks, steps or settings, and why.", "experiment"),
    "search": Entry("pages/search.py", "Search", ":material/manage_search:",
                    "Let Optuna try the knobs of an attack, judged by the attack's own residual, and see which one "
                    "matters.", "search"),
    "compare": Entry("pages/compare.py", "Compare", ":material/compare:",
                     "Put runs side by side: pictures, scores, curves, and the knobs in which they differ."),
    "evidence": Entry("pages/evidence.py", "Evidence", ":material/gavel:",
                      "Claims of the field, each with the experiment that could overturn it, and our own verdict."),
    "lessons": Entry("pages/lessons.py", "Lessons", ":material/school:",
                     "What was realised, what worked and what did not, kept with the runs that showed it."),
}


def navigation(*, icons: bool = True) -> Any:
    """The menu; returns the page to run."""
    st.session_state["inside_app"] = True
    return st.navigation([st.Page(entry.script, title=entry.title, icon=entry.icon if icons else None,
                                  default=name == "overview",
                                  visibility="visible" if entry.listed else "hidden")
                          for name, entry in NAVIGATION.items()], position="top")


def inside_app(page: str) -> None:
    """Call first in a page: two repairs that deep links need with Streamlit 1.67.

    It runs a script of ``pages/`` without app.py when its address is the first that a fresh server
    is asked for (a bookmark, a reload after a restart): start over through app.py. And a link to
    the page it stands on leaves the browser's address as it was, which the next click then goes by:
    tell the browser what is shown.
    """
    asked = st.query_params.to_dict()
    if "inside_app" not in st.session_state:
        navigation(icons=False)  # before app.py has set ours, the tab would fetch the page's icon from the web
        st.switch_page(NAVIGATION[page].script, query_params=asked)
    st.query_params.from_dict(asked)


def linked(widget: Callable[..., str], label: str, options: Sequence[str], *, key: str, **arguments: Any) -> str:
    """A choice that the address holds, so that a link shows the same; the first option is the default and needs none.

    Streamlit's own binding of a widget to the address refuses `inside_app`.
    """
    asked = st.query_params.get(key)
    if asked in options and asked != st.session_state.get(f"link-{key}"):  # a new address, not an echo of the widget
        st.session_state[key] = asked
    st.session_state.setdefault(key, options[0])
    chosen = widget(label, options, key=key, persist_state="session", **arguments)
    st.session_state[f"link-{key}"] = chosen
    if chosen == options[0]:
        st.query_params.pop(key, None)
    else:
        st.query_params[key] = chosen
    return chosen


PRESENT = "present"  # in the address: the presentation view, which hides containers whose key begins with chrome-


def present() -> None:
    """The way into the presentation view: large pictures, nothing to operate. Within it, the ways on and out."""
    if st.query_params.get(PRESENT) != "1":
        if st.button("Present", icon=":material/present_to_all:",
                     help="Large pictures and text, without menus and knobs; the address keeps it."):
            st.query_params[PRESENT] = "1"
            st.rerun()
        return
    st.html(Path(__file__).parents[2] / "assets" / "present.css")
    with st.container(horizontal=True, horizontal_alignment="right", width="content"):
        if st.button("End presentation", icon=":material/close:"):
            st.query_params.pop(PRESENT, None)
            st.rerun()  # the whole page: a fragment alone would leave the style sheet where it is
        _full_screen_button()(key="full-screen")


@st.cache_resource(show_spinner=False)
def _full_screen_button() -> Callable[..., Any]:
    """A browser lets a page fill the screen at a click of its own only: this one button is JavaScript."""
    return st.components.v2.component(
        "full_screen", html='<button type="button">Full screen</button>',
        css="""button { font: inherit; color: var(--st-text-color); background: var(--st-background-color);
            border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); padding: 0.45rem 0.9rem;
            cursor: pointer; } button:hover, button:focus-visible { border-color: var(--st-primary-color); }""",
        js="""export default function({ parentElement }) {
            parentElement.querySelector("button").onclick = () => document.fullscreenElement
                ? document.exitFullscreen() : document.documentElement.requestFullscreen();
        }""")


def heading(page: str, title: str = "") -> None:
    """Title and lead of a page."""
    st.title(title or NAVIGATION[page].title, anchor=False)
    lead(NAVIGATION[page].lead)


def lead(text: str) -> None:
    st.html(f'<p class="ai-lead">{escape(text)}</p>')


def chips(facts: dict[str, str]) -> None:
    """One quiet line of named facts; empty values are left out."""
    items = "".join(f"<span>{term(name)} <b>{escape(value)}</b></span>" for name, value in facts.items() if value)
    if items:
        st.html(f'<div class="ai-chips">{items}</div>')


def limits(title: str, report: Report | None) -> None:
    """What an engine's report says about its own limits, in its own words."""
    if report and report.limits:
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{title}**")
            bullets(report.limits)


def verdict_table(columns: Sequence[str], rows: Iterable[tuple[str, str, Sequence[str]]]) -> None:
    """Rows of (look, mark, cells); the first cell is the verdict in words beside its mark, the second names the row.

    `look` is failed, suspect or clear; any other word is grey.
    """
    html = []
    for look, mark, (verdict, name, *cells) in rows:
        html.append(f'<tr class="ai-{look}"><td class="ai-narrow"><b aria-hidden="true">{mark}</b> {escape(verdict)}'
                    f'</td><th scope="row">{escape(name)}</th>'
                    + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    st.html('<table class="ai-table"><thead><tr>' + "".join(f"<th>{escape(name)}</th>" for name in columns)
            + f"</tr></thead><tbody>{''.join(html)}</tbody></table>")


Item = TypeVar("Item")


def paged(items: Sequence[Item], most: int, *, key: str, first: int = 0) -> tuple[Sequence[Item], Any]:
    """The items of one page, and the container to draw them in; numbered pages stand below it where there are several.

    The page of the item at place `first` is open at first, and again under another `key`.
    """
    place, pages = st.container(), max(1, -(-len(items) // most))
    if pages == 1:
        return items, place
    page = st.pagination(pages, default=first // most + 1, key=f"{key}-{pages}", persist_state="session")
    return items[(page - 1) * most:page * most], place


def bullets(lines: Sequence[str]) -> None:
    st.html('<ul class="ai-list">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>")


def open_run(kind: str, run_id: str, *, label: str = "Open", icon: str | None = None) -> None:
    """A link to a run's own view."""
    st.page_link(NAVIGATION[kind].script, label=label, icon=icon or ":material/arrow_forward:",
                 query_params={"run": run_id})
