"""The log of lessons: kept, searched, and the same after a way through Markdown."""

import threading
import time
from pathlib import Path

import pytest

from core.io.errors import InputError
from core.lessons.log import TOPICS, Lesson, LessonLog
from core.lessons.markdown import from_markdown, to_markdown

NTK = Lesson("NTK", realisation="Pretrained weights keep their features.", worked="T = 1", runs=("attack-1",),
             created=1_790_000_000.0)
BASE = Lesson("base reconstruction", pitfall="λ at its floor\nshows nothing", created=1_790_000_060.0)
AWKWARD = Lesson("process", did_not="## NTK · 2026-01-01 10:00\n**Worked:** nothing\n\\## x\n<!-- lesson 00000000 -->",
                 realisation="**bold** at the start", created=1_790_000_120.0)


def test_lessons_are_kept_newest_first_and_found_by_word_topic_and_run(tmp_path):
    log = LessonLog(tmp_path / "runs")
    assert log.find() == []
    assert log.save([NTK, BASE]) == 2
    assert log.find() == [BASE, NTK]
    assert log.find(words="FEATURES pretrained") == [NTK]
    assert log.find(topic="base reconstruction") == log.find(words="floor") == [BASE]
    assert log.find(run="attack-1") == [NTK]
    assert log.find(words="features floor") == []
    log.delete(NTK.id)
    assert LessonLog(tmp_path / "runs").find() == [BASE]


def test_the_same_lesson_again_replaces_itself(tmp_path):
    log = LessonLog(tmp_path)
    log.save([NTK])
    changed = Lesson("NTK", worked="T = 2", id=NTK.id, created=NTK.created)
    assert log.save([changed]) == 0
    assert log.find() == [changed]


@pytest.mark.parametrize("lesson", [NTK, BASE, AWKWARD])
def test_markdown_there_and_back(lesson):
    (back,) = from_markdown(to_markdown([lesson]))
    assert back.created == pytest.approx(lesson.created, abs=60)  # minutes are written
    assert Lesson(**{**vars(back), "created": lesson.created}) == lesson


def test_all_at_once_in_order():
    assert [lesson.id for lesson in from_markdown(to_markdown([AWKWARD, BASE, NTK]))] == [AWKWARD.id, BASE.id, NTK.id]


def test_the_lessons_that_ship_can_be_read():
    lessons = from_markdown((Path(__file__).parents[2] / "assets" / "lessons.md").read_text())
    assert len({lesson.id for lesson in lessons}) == len(lessons) >= 5
    assert {"NTK", "base reconstruction", "LoRA bridge"} <= {lesson.topic for lesson in lessons}


def test_a_lesson_written_by_hand_needs_only_a_topic_and_one_part():
    (lesson,) = from_markdown("## ntk\n**Worked:** one step\nand no more\n")
    assert (lesson.topic, lesson.worked, lesson.runs) == ("NTK", "one step\nand no more", ())
    assert lesson.created == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(("text", "words"), [
    ("hello", "no lesson was found"), ("## Cooking\n**Worked:** x", "topic 'Cooking'"),
    ("## NTK\nnothing marked", "lesson 1: lesson: all four parts are empty"),
    ("## NTK · 2026-99-99 10:00\n**Worked:** x", "time '2026-99-99 10:00'"), ("x" * 5_000_001, "no log"),
])
def test_what_cannot_be_read_is_named(text, words):
    with pytest.raises(InputError, match=words):
        from_markdown(text)


def test_nothing_is_lost_when_many_write_at_once(tmp_path):
    lessons = [Lesson(TOPICS[index % 6], worked=str(index)) for index in range(24)]
    threads = [threading.Thread(target=lambda part=part: LessonLog(tmp_path).save(part))
               for part in ([lesson] for lesson in lessons)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {lesson.id for lesson in LessonLog(tmp_path).find()} == {lesson.id for lesson in lessons}


@pytest.mark.parametrize("content", ["{", "[3]", '[{"topic": "x"}]'])
def test_a_damaged_log_is_named_and_not_overwritten(tmp_path, content):
    (tmp_path / "lessons.json").write_text(content)
    for act in (LessonLog(tmp_path).find, lambda: LessonLog(tmp_path).save([NTK])):
        with pytest.raises(InputError, match=r"lessons\.json cannot be read"):
            act()
    assert (tmp_path / "lessons.json").read_text() == content


def test_empty_lessons_and_unknown_topics_are_refused():
    with pytest.raises(InputError, match="all four parts are empty"):
        Lesson("NTK", worked="  ")
    with pytest.raises(InputError, match="topic"):
        Lesson("cooking", worked="x")
