"""The real server on a free port over an empty runs folder, and a real browser on it."""

import os

import pytest
from playwright.sync_api import expect

from scripts.screenshots import chromium, find_chromium
from scripts.server import dashboard
from tests.helpers.browser import PAGE_MS, PROBES


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


@pytest.fixture
def page(browser, server):
    """A window on the dashboard that collects what went wrong in it."""
    window = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light", base_url=server)
    window.set_default_timeout(PAGE_MS)
    expect.set_options(timeout=PAGE_MS)
    errors: list[str] = []
    window.on("pageerror", lambda error: errors.append(str(error)))
    window.on("console", lambda message: errors.append(f"{message.text} ({message.location['url']})")
              if message.type == "error" and not message.location["url"].endswith(PROBES) else None)
    yield window
    window.close()
    assert errors == []
