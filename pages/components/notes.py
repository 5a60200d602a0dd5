"""Tags and a note on a run."""

import streamlit as st

from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.notes import Notes, parse_tags, read_notes, write_notes


def notes(run: Run) -> None:
    try:
        present = read_notes(run)
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return
    with st.form(f"notes-{run.id}", border=False):
        tags = st.text_input("Tags", ", ".join(present.tags), key=f"tags-{run.id}", placeholder="baseline, figure 3",
                             help="Words to find this run by, with commas between them.")
        text = st.text_area("Note", present.text, key=f"note-{run.id}", placeholder="What this run taught you.")
        if st.form_submit_button("Save", icon=":material/save:"):
            try:
                write_notes(run, Notes(parse_tags(tags), text.strip()))
                st.toast("Saved.", icon=":material/check_circle:")
            except InputError as error:
                st.error(str(error), icon=":material/error:")
