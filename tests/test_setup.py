"""What a fresh machine installs: the lock beside the direct list, and what scripts/setup.sh does with both."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.marks import MARKED, TESTS

ROOT = Path(__file__).parents[1]
# In the place of .venv's Python: notes what pip is asked for, and refuses the lock where a file says so.
PYTHON = """#!/bin/sh
case "$*" in
    *"pip install"*) echo "$*" | sed "s/.*--quiet //" >>asked.txt ;;
esac
case "$*" in
    *requirements.lock*) if [ -f refuse ]; then echo "No matching distribution" >&2; exit 1; fi ;;
esac
"""


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text().lower(), re.MULTILINE))


def test_the_lock_holds_the_direct_pins():
    """Make it again with the command in its first lines where this fails."""
    direct, lock = pins("requirements.txt"), pins("requirements.lock")
    assert len(direct) > 20
    assert {name: lock.get(name) for name in direct} == direct
    assert len(lock) > 2 * len(direct)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder with the script, small lists, and a .venv whose Python only notes what it is asked."""
    for folder in ("scripts", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "scripts/setup.sh").write_text((ROOT / "scripts/setup.sh").read_text())
    (tmp_path / ".venv/bin/python").write_text(PYTHON)
    (tmp_path / ".venv/bin/python").chmod(0o755)
    (tmp_path / "requirements.txt").write_text("one==1\n")
    (tmp_path / "requirements.lock").write_text("one==1\ntwo==2\n")
    return tmp_path


def setup(checkout: Path) -> tuple[str, list[str]]:
    """What it says, and what it asks pip for."""
    asked = checkout / "asked.txt"
    asked.write_text("")
    answer = subprocess.run(["sh", "scripts/setup.sh"], cwd=checkout, capture_output=True, text=True, check=True)
    assert answer.stderr == ""
    return answer.stdout, asked.read_text().splitlines()


def test_the_lock_is_installed_once(checkout):
    assert setup(checkout)[1] == ["-r requirements.lock -r requirements.txt"]
    assert setup(checkout) == ("", [])
    (checkout / "requirements.lock").write_text("one==1\ntwo==3\n")
    assert setup(checkout)[1] == ["-r requirements.lock -r requirements.txt"]


def test_a_lock_that_does_not_fit_is_one_sentence_and_the_direct_list_serves(checkout):
    (checkout / "refuse").touch()
    said, asked = setup(checkout)
    assert asked == ["-r requirements.lock -r requirements.txt", "-r requirements.txt"]
    assert [line for line in said.splitlines() if "does not fit here" in line] != []
    assert "No matching distribution" in (checkout / ".venv/lock.log").read_text()
    assert setup(checkout) == ("", [])


def test_without_a_lock_the_direct_list_serves(checkout):
    (checkout / "requirements.lock").unlink()
    assert setup(checkout)[1] == ["-r requirements.txt"]
    assert setup(checkout) == ("", [])


def test_folders_that_are_marked_are_there(request):
    """Marks of a folder that was renamed would be lost silently."""
    assert [folder for folder in MARKED if not any((TESTS / folder).glob("test_*.py"))] == []
    marked = {item.path: {mark.name for mark in item.iter_markers()} for item in request.session.items}
    assert [path for path, marks in marked.items() for folder, mark in MARKED.items()
            if path.is_relative_to(TESTS / folder) and mark not in marks] == []
