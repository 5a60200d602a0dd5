"""What may import what, and how light the parts are that pages and the command line load."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


LINT = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"


def test_import_contracts():
    answer = run_python("-c", LINT, "--no-cache")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "3 kept, 0 broken" in answer.stdout


def test_the_contracts_bite(tmp_path):
    """A contract that checks nothing would be kept as well: each is broken once, on a plan of empty rooms."""
    contracts = (ROOT / "pyproject.toml").read_text()
    contracts = contracts[contracts.index("[tool.importlinter]"):]
    rooms = [room.strip() for line in re.search(r"layers = \[(.*?)\]", contracts, re.DOTALL)[1].split(",")
             for room in line.strip().strip('"').split("|") if room.strip()]
    for folder in ("", *rooms):
        (tmp_path / "core" / folder).mkdir()
        (tmp_path / "core" / folder / "__init__.py").touch()
    (tmp_path / "core/threat/observe.py").touch()
    (tmp_path / "core/reconstruction/peek.py").write_text(
        "def look():\n    import core.data\n    import core.assessment\n    import streamlit\n")
    (tmp_path / "pyproject.toml").write_text(contracts)
    answer = subprocess.run([sys.executable, "-c", LINT, "--no-cache"], cwd=tmp_path, capture_output=True, text=True,
                            check=False)
    assert answer.returncode == 1
    assert "0 kept, 3 broken" in answer.stdout


@pytest.mark.parametrize(("modules", "unwanted"), [
    # A page that lists runs, and `python -m core list`, must not wait for torch.
    ("core.runs.store, core.cli.main, core.execution.worker", "torch, dask, distributed, streamlit"),
    # All that a page which reads runs needs; a fresh server shows its first one while others would still import.
    ("pages.components.workbench, core.execution.queue_entry",
     "torch, scipy, skimage, peft, optuna, sklearn, distributed"),
    # Heavy parts that only some runs need are imported where they are used.
    ("core.tasks.execute, core.execution.queue", "dask, distributed, mlxtend, streamlit"),
])
def test_what_is_light_stays_light(modules, unwanted):
    loaded = f"import sys, {modules}\nprint(*[name for name in {unwanted.split(', ')!r} if name in sys.modules])"
    answer = run_python("-c", loaded)
    # Outside of its server Streamlit says of each cache that it lives in memory.
    assert [line for line in answer.stderr.splitlines() if "No runtime found" not in line] == []
    assert answer.stdout.split() == []


def test_style():
    answer = run_python("-m", "ruff", "check", "--no-cache", ".")
    assert answer.returncode == 0, answer.stdout
