"""The command line in this process, over a store of its own."""

import sys
from types import SimpleNamespace

import pytest

from core.cli.main import main
from core.runs.store import RunStore


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("AFTERIMAGE_RUNS", str(tmp_path / "runs"))
    return RunStore()


@pytest.fixture
def core(store, capfd):
    """``python -m core ARGUMENTS``: (exit code, stdout, stderr)."""
    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as left:
            code = left.code
        return code, *capfd.readouterr()
    return call


@pytest.fixture
def engines(monkeypatch):
    """Replace engines by functions of (run, config, recorder)."""
    def use(**functions):
        for kind, function in functions.items():
            monkeypatch.setitem(sys.modules, f"core.tasks.{kind}", SimpleNamespace(execute=function))
    return use
