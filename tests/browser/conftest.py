"""The real server on a free port over an empty runs folder, and a real browser on it."""

import os

import pytest

from scripts.screenshots import chromium, find_chromium
from scripts.server import dashboard


@pytest.fixture(scope="session")
def browser():
    """Chromium; skips where there is none, or fails where AFTERIMAGE_REQUIRE_BROWSER=1 asks for it."""
    if find_chromium() is None:
        missing = "no chromium found: set AFTERIMAGE_CHROMIUM to its path, or install Debian's package chromium"
        if os.environ.get("AFTERIMAGE_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with chromium() as running:
        yield running


@pytest.fixture
def server(tmp_path):
    """Address of a dashboard; its jobs' cluster ends with it."""
    runs = tmp_path / "runs"
    runs.mkdir()
    with dashboard(runs, tmp_path / "server.log") as (_, address):
        yield address
