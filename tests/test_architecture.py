"""What may import what, and how light the parts are that pages and the command line load."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_import_contracts():
    answer = run_python("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "4 kept, 0 broken" in answer.stdout


def test_the_contracts_bite(tmp_path):
    """A contract that checks nothing would be kept as well."""
    for folder in ("core", "core/objectives", "core/metrics"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "core/objectives/peek.py").write_text("def look():\n    import core.metrics\n    import streamlit\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_packages = ["core"]\ninclude_external_packages = true\n'
        '[[tool.importlinter.contracts]]\nname = "one"\ntype = "forbidden"\nsource_modules = ["core"]\n'
        'forbidden_modules = ["streamlit"]\n'
        '[[tool.importlinter.contracts]]\nname = "two"\ntype = "forbidden"\nsource_modules = ["core.objectives"]\n'
        'forbidden_modules = ["core.metrics"]\n')
    answer = subprocess.run([sys.executable, "-c", "import sys; sys.path.insert(0, '.'); from importlinter.cli import "
                             "lint_imports_command; lint_imports_command()", "--no-cache"],
                            cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "0 kept, 2 broken" in answer.stdout


@pytest.mark.parametrize(("modules", "unwanted"), [
    # A page that lists runs, and `python -m core list`, must not wait for torch.
    ("core.runs.store, core.cli.main, core.jobs.worker", "torch, dask, distributed, streamlit"),
    # All that a page which reads runs needs; a fresh server shows its first one while others would still import.
    ("pages.components.workbench, core.jobs.ticket", "torch, scipy, skimage, peft, optuna, sklearn, distributed"),
    # Heavy parts that only some runs need are imported where they are used.
    ("core.jobs.execute, core.jobs.cluster", "dask, distributed, mlxtend, streamlit"),
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
