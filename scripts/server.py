"""The dashboard on a free port over a runs folder of one's own: for tests, benchmarks and pictures."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.execution import embedded

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0
STREAMLIT = ("-m", "streamlit", "run", "app.py")


@contextmanager
def dashboard(runs: Path, log: Path, *, command: Sequence[str] = STREAMLIT,
              **environment: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """The server's process and address; it and the cluster of its jobs end with the block.

    With the heaps of `make run`. What it prints goes to `log`. Raises `RuntimeError` with that where it does not
    answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, *command, "--server.port", str(port)], cwd=ROOT, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, "AFTERIMAGE_RUNS": str(runs), "MALLOC_ARENA_MAX": "2",
                                        **environment})
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(address, process, log)
        yield process, address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
        embedded.shut_down(runs)


def _wait_until_healthy(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    raise RuntimeError(f"the dashboard did not answer within {START_SECONDS:.0f} s:\n{log.read_text()}")
