"""One's own files: upload them, and see at once what they say of themselves."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from core.io.errors import InputError
from core.runs.store import default_root
from core.runs.uploads import keep
from pages.components.layout import chips

CHECKPOINTS = ["safetensors", "pth", "pt"]
ADAPTERS = ["safetensors", "json"]


def upload(label: str, field: str, *, folder: bool = False, help: str = "") -> None:
    """An upload box above the path field whose widget key is `field`; what is uploaded fills that field.

    `folder`: several files that belong together, and the field names their folder.
    """
    given = st.file_uploader(label, type=ADAPTERS if folder else CHECKPOINTS, accept_multiple_files=folder,
                             key=f"upload-{field}", help=help)
    files = given if folder else [given] if given else []
    stamp = [file.file_id for file in files]
    if not files or st.session_state.get(f"uploaded-{field}") == stamp:
        return
    try:
        kept = keep(default_root(), {file.name: file.getvalue() for file in files})
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[f"uploaded-{field}"] = stamp
    st.session_state[field] = str(kept if folder else kept / files[0].name)


def show_checkpoint(path: str) -> None:
    """The facts of a base checkpoint; nothing where none is named."""
    if path:
        _show(_checkpoint, path)


def show_adapter(folder: str, checkpoint: str) -> None:
    """Nothing until both are named: an adapter is read against its base."""
    if folder and checkpoint:
        _show(_adapter, folder, checkpoint)


def _show(facts: Callable[..., dict[str, str]], *paths: str) -> None:
    try:
        chips(facts(*paths, stamps=tuple(_stamp(Path(path)) for path in paths)))
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def _stamp(path: Path) -> int:
    """Changes with the file, or with any file of a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return hash(tuple((file.name, file.stat().st_mtime_ns) for file in files if file.exists()))


@st.cache_data(max_entries=64, show_spinner="Reading the file …")
def _checkpoint(path: str, stamps: tuple[int, ...]) -> dict[str, str]:
    from core.diagnostics.facts import checkpoint_facts  # loads torch, which no other page needs

    return checkpoint_facts(path)


@st.cache_data(max_entries=64, show_spinner="Reading the adapter …")
def _adapter(folder: str, checkpoint: str, stamps: tuple[int, ...]) -> dict[str, str]:
    from core.diagnostics.facts import adapter_facts

    return adapter_facts(folder, checkpoint)
