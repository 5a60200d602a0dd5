"""Tags and notes of a run."""

import pytest

from core.io.errors import InputError
from core.runs.notes import Notes, parse_tags, read_notes, write_notes
from tests.helpers import synthetic


def test_notes_come_back_as_written_and_leave_the_config_alone(runs_root):
    run = synthetic.attack(runs_root.root)
    before = run.file("config.json").read_bytes()
    assert read_notes(run) == Notes()
    write_notes(run, Notes(("baseline", "figure 3"), "λ fell to its floor"))
    assert read_notes(run) == Notes(("baseline", "figure 3"), "λ fell to its floor")
    assert run.file("config.json").read_bytes() == before


def test_tags_are_split_at_commas_each_once():
    assert parse_tags(" a, b c ,,a") == ("a", "b c")
    assert parse_tags("") == ()
    with pytest.raises(InputError, match="longer than 40"):
        parse_tags("x" * 41)


@pytest.mark.parametrize("content", ["", "[]", '{"tags": 3}', "{"])
def test_a_damaged_file_is_named(runs_root, content):
    run = synthetic.attack(runs_root.root)
    run.file("notes.json").write_text(content)
    with pytest.raises(InputError, match=r"notes\.json cannot be read"):
        read_notes(run)
