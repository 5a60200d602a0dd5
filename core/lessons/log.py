"""The laboratory's log of lessons: what was realised, what worked, what did not, and what to beware of.

One JSON file beside the runs, replaced atomically under a lock: two people may write at once.
"""

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from core.io.errors import InputError
from core.io.files import write_json

FILE = "lessons.json"
LOCK_SECONDS = 10.0
TOPICS = ("base reconstruction", "LoRA bridge", "NTK", "sequences", "diffusion priors", "process")
PARTS = {"realisation": "Key realisation", "worked": "Worked", "did_not": "Did not", "pitfall": "Pitfall"}


@dataclass(frozen=True)
class Lesson:
    """Parts may be empty, but not all four."""

    topic: str
    realisation: str = ""
    worked: str = ""
    did_not: str = ""
    pitfall: str = ""
    runs: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    created: float = field(default_factory=time.time)  # Unix time

    def __post_init__(self) -> None:
        if self.topic not in TOPICS:
            raise InputError(f"topic: {self.topic!r} is none; choose from {', '.join(TOPICS)}.")
        if not any(getattr(self, part).strip() for part in PARTS):
            raise InputError("lesson: all four parts are empty; write at least one of them.")

    def matches(self, words: str) -> bool:
        """Whether every word stands somewhere in it, whatever the case."""
        text = " ".join([self.topic, *(getattr(self, part) for part in PARTS), *self.runs]).lower()
        return all(word in text for word in words.lower().split())


class LessonLog:
    """All lessons of one runs folder, newest first."""

    def __init__(self, root: Path) -> None:
        self.path = root / FILE

    def find(self, *, topic: str | None = None, words: str = "", run: str | None = None) -> list[Lesson]:
        found = [lesson for lesson in self._read() if topic in (None, lesson.topic) and lesson.matches(words)
                 and (run is None or run in lesson.runs)]
        return sorted(found, key=lambda lesson: lesson.created, reverse=True)

    def save(self, lessons: Iterable[Lesson]) -> int:
        """Add lessons, or put them in the place of those of the same id; how many were new."""
        with self._locked():
            kept = {lesson.id: lesson for lesson in self._read()}
            before = len(kept)
            kept |= {lesson.id: lesson for lesson in lessons}
            self._write(list(kept.values()))
        return len(kept) - before

    def delete(self, lesson_id: str) -> None:
        with self._locked():
            self._write([lesson for lesson in self._read() if lesson.id != lesson_id])

    def _read(self) -> list[Lesson]:
        try:
            return [Lesson(**{**item, "runs": tuple(item["runs"])}) for item in json.loads(self.path.read_text())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError, InputError) as error:
            raise InputError(f"lessons: {self.path} cannot be read; restore it, or move it away to begin a new "
                             "log.") from error

    def _write(self, lessons: Sequence[Lesson]) -> None:
        try:
            write_json(self.path, [asdict(lesson) for lesson in lessons])
        except OSError as error:
            raise InputError(f"lessons: cannot write {self.path} ({error.strerror or error}); check the rights and the "
                             "space there.") from error

    @contextmanager
    def _locked(self):
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(str(self.path.with_name(f".{FILE}.lock"))).acquire(timeout=LOCK_SECONDS):
                yield
        except Timeout:
            raise InputError("lessons: somebody else is writing to the log; try again in a moment.") from None
        except PermissionError as error:
            raise InputError(f"lessons: cannot write to {self.path.parent} ({error.strerror}); check its "
                             "rights.") from error
