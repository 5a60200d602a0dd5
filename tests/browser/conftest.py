"""The real server on a free port over an empty runs folder, and a real browser on it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from core.jobs import embedded
from scripts.screenshots import chromium, find_chromium

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)], cwd=ROOT, stdout=log,
        stderr=subprocess.STDOUT, env={**os.environ, "AFTERIMAGE_RUNS": str(runs)}, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(address, process, tmp_path / "server.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
        log.close()
        embedded.shut_down(runs)


def _wait_until_healthy(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
    pytest.fail(f"the server did not answer within {START_SECONDS:.0f} s:\n{log.read_text()}")
