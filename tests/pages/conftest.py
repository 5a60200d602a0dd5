"""Runs to look at, in a temporary folder, and the app as AppTest sees it."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.helpers import synthetic
from tests.helpers.seen import check

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs_root(tmp_path, monkeypatch):
    """An empty runs folder that the pages use."""
    root = tmp_path / "runs"
    root.mkdir()
    monkeypatch.setenv("AFTERIMAGE_RUNS", str(root))
    return root


@pytest.fixture
def show(runs_root):
    """show("attack", run="ID") renders a page and fails on any exception in it."""

    def render(page: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        if page != "overview":
            app.switch_page(f"pages/{page}.py")
        app.run()
        check(app)
        return app

    return render


@pytest.fixture
def laboratory(runs_root):
    """One finished run of each kind, a second attack, a running and a failed one, a broken folder."""
    synthetic.pretrain(runs_root, name="The base")
    synthetic.finetune(runs_root, name="The victim")
    synthetic.attack(runs_root, name="First")
    synthetic.attack(runs_root, "attack-20260101-130000-eeee", name="Second", restarts=16)
    synthetic.attack(runs_root, "attack-20260101-140000-ffff", name="Moving", state="running")
    synthetic.attack(runs_root, "attack-20260101-150000-9999", name="Fallen", state="failed",
                     message="adapter: layers.0 does not fit the base.")
    synthetic.experiment(runs_root, name="A grid of many")
    synthetic.broken(runs_root)
    return runs_root
