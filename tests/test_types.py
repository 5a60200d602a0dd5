"""The types of core/ hold, as far as pyproject.toml has mypy follow them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mypy", "--cache-dir=/dev/null", *arguments], cwd=ROOT,
                          capture_output=True, text=True, check=False)


def test_types():
    answer = run_mypy()
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "no issues found" in answer.stdout


def test_a_wrong_type_is_found(tmp_path):
    """Settings under which nothing could fail would pass as well."""
    (tmp_path / "wrong.py").write_text("from core.io.wording import counted\n\ncounted('two', 1)\n")
    answer = run_mypy(str(tmp_path / "wrong.py"))
    assert answer.returncode == 1
    assert "arg-type" in answer.stdout
