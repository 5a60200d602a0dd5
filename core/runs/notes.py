"""What people say of a run: tags to find it by, and a note. Apart from the config, which never changes."""

import json
from dataclasses import asdict, dataclass

from core.io.errors import InputError
from core.io.files import write_json
from core.runs.directory import Run

FILE = "notes.json"
LONGEST_TAG = 40


@dataclass(frozen=True)
class Notes:
    tags: tuple[str, ...] = ()
    text: str = ""


def read_notes(run: Run) -> Notes:
    """Empty where nothing was noted; raises `InputError` where the file is damaged."""
    path = run.file(FILE)
    try:
        values = json.loads(path.read_text())
        return Notes(tuple(map(str, values["tags"])), str(values["text"]))
    except FileNotFoundError:
        return Notes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"notes: {path} cannot be read; restore or delete it.") from error


def listed_notes(run: Run) -> Notes:
    """For lists of many runs: a damaged file counts as none there; the run's own page says that it is damaged."""
    try:
        return read_notes(run)
    except InputError:
        return Notes()


def write_notes(run: Run, notes: Notes) -> None:
    try:
        write_json(run.file(FILE), asdict(notes))
    except OSError as error:
        raise InputError(f"notes: cannot write to {run.path} ({error.strerror or error}); check the rights and the "
                         "space there.") from error


def parse_tags(text: str) -> tuple[str, ...]:
    """Typed with commas; each once, in the order typed."""
    tags = tuple(dict.fromkeys(tag for part in text.split(",") if (tag := part.strip())))
    if long := [tag for tag in tags if len(tag) > LONGEST_TAG]:
        raise InputError(f"tags: {long[0][:LONGEST_TAG]}… is longer than {LONGEST_TAG} characters; separate tags with "
                         "commas, and put sentences into the note.")
    return tags
