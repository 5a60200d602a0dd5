"""Lessons as Markdown that people read and edit, and back.

    # Lessons

    ## NTK · 2026-11-24 09:30
    <!-- lesson 1a2b3c4d -->
    **Key realisation:** …
    **Worked:** …
    **Did not:** …
    **Pitfall:** …
    **Runs:** attack-…, attack-…

The comment keeps a lesson what it is when a file is read in twice; without it a new lesson is made.
"""

import re
import time
from collections.abc import Sequence
from typing import Any

from core.io.errors import InputError
from core.lessons.log import PARTS, TOPICS, Lesson

TIME = "%Y-%m-%d %H:%M"
LARGEST = 5_000_000  # characters
_HEAD = re.compile(r"^## (?P<topic>[^·\n]+?)(?: · (?P<time>[\d\- :]+))?\s*$", re.MULTILINE)
_ID = re.compile(r"<!-- lesson (?P<id>[0-9a-f]{8}) -->")
_PART = re.compile(rf"^\*\*(?P<name>{'|'.join([*PARTS.values(), 'Runs'])}):\*\*", re.MULTILINE)


def to_markdown(lessons: Sequence[Lesson]) -> str:
    blocks = ["# Lessons"]
    for lesson in lessons:
        lines = [f"## {lesson.topic} · {time.strftime(TIME, time.localtime(lesson.created))}",
                 f"<!-- lesson {lesson.id} -->"]
        lines += [f"**{name}:** {_guard(text)}" for part, name in PARTS.items()
                  if (text := getattr(lesson, part).strip())]
        lines += [f"**Runs:** {', '.join(lesson.runs)}"] if lesson.runs else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def from_markdown(text: str) -> list[Lesson]:
    """Raises `InputError`, which names the lesson, where something cannot be read; then nothing is taken over."""
    if len(text) > LARGEST:
        raise InputError(f"file: it has more than {LARGEST:,} characters; this is no log of lessons.")
    heads = list(_HEAD.finditer(text))
    if not heads:
        raise InputError("file: no lesson was found; each begins with a line such as '## NTK · 2026-11-24 09:30'.")
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return [_lesson(number, head, text[head.end():end]) for number, (head, end) in
            enumerate(zip(heads, ends, strict=True), 1)]


def _lesson(number: int, head: re.Match[str], body: str) -> Lesson:
    topic = {name.lower(): name for name in TOPICS}.get(head["topic"].strip().lower())
    if topic is None:
        raise InputError(f"file: lesson {number} has the topic {head['topic'].strip()!r}; choose from "
                         f"{', '.join(TOPICS)}.")
    values: dict[str, Any] = {"topic": topic}
    marks = list(_PART.finditer(body))
    ends = [*(mark.start() for mark in marks[1:]), len(body)][:len(marks)]
    for mark, end in zip(marks, ends, strict=True):
        content = _unguard(body[mark.end():end].strip())
        if mark["name"] == "Runs":
            values["runs"] = tuple(name for part in content.split(",") if (name := part.strip()))
        else:
            values[next(part for part, name in PARTS.items() if name == mark["name"])] = content
    if head["time"]:
        try:
            values["created"] = time.mktime(time.strptime(head["time"].strip(), TIME))
        except (ValueError, OverflowError) as error:
            raise InputError(f"file: lesson {number} has the time {head['time'].strip()!r}; write it as "
                             "2026-11-24 09:30.") from error
    if found := _ID.search(body[:marks[0].start()] if marks else body):
        values["id"] = found["id"]
    try:
        return Lesson(**values)
    except InputError as error:
        raise InputError(f"file: lesson {number}: {error}") from error


def _guard(text: str) -> str:
    """A line of somebody's text that would read as structure is indented by a backslash."""
    return re.sub(r"^(?=\\*(## |\*\*))", r"\\", text, flags=re.MULTILINE)


def _unguard(text: str) -> str:
    return re.sub(r"^\\(?=\\*(## |\*\*))", "", text, flags=re.MULTILINE)
