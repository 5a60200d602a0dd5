"""The dashboard: navigation and page chrome only. Start it with `make run`."""

import importlib
import threading
from pathlib import Path

import streamlit as st

from core.runs.store import default_root
from pages.components.actions import recover
from pages.components.layout import ICON, navigation

ASSETS = Path(__file__).parent / "assets"


@st.cache_resource(show_spinner=False)
def prepare() -> None:
    """Once the first page stands, import what the others need: a second, of which plots are the most."""
    threading.Thread(target=importlib.import_module, args=("pages.components.workbench",), daemon=True).start()


st.set_page_config(page_title="Afterimage", page_icon=str(ICON), layout="wide")
st.logo(str(ASSETS / "logo.svg"), size="large")
st.html(ASSETS / "style.css")
page = navigation()
if problem := recover(str(default_root())):
    st.error(problem, icon=":material/error:")
page.run()
prepare()
