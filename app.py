"""The dashboard: navigation and page chrome only. Start it with `make run`."""

import importlib
import threading
from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx

from core.runs.store import default_root
from pages.components.actions import recover
from pages.components.layout import ICON, navigation

ASSETS = Path(__file__).parent / "assets"


@st.cache_resource(show_spinner=False)
def prepare() -> None:
    """Once the first page stands, import what the others need, and read the runs that somebody will want to watch."""
    thread = threading.Thread(target=_prepare, args=(default_root(),), daemon=True)
    add_script_run_ctx(thread)  # what it reads goes into the caches of this server
    thread.start()


def _prepare(root: Path) -> None:
    importlib.import_module("pages.components.workbench")
    importlib.import_module("pandas")  # Streamlit's own, at the first plot
    importlib.import_module("pages.components.reading").read_ahead(root)


st.set_page_config(page_title="Afterimage", page_icon=str(ICON), layout="wide")
st.logo(str(ASSETS / "logo.svg"), size="large")
st.html(ASSETS / "style.css")
page = navigation()
if problem := recover(str(default_root())):
    st.error(problem, icon=":material/error:")
page.run()
prepare()
