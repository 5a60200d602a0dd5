"""What a run ran on: written beside its results, so that they can be repeated or doubted."""

import platform
import re
import shlex
import socket
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core.host.compute import Compute
from core.host.hardware import PROJECT, cpu_cores
from core.host.products import Products


def environment(*, compute: Compute, threads: int, products: Products) -> dict[str, Any]:
    """Versions, device, host, threads, the library of float32 products (`core.host.products`), git commit (None outside
    a checkout) and command, as plain JSON."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "device": compute.describe(),
        "cores": cpu_cores(),
        "threads": threads,
        "products": products.library,
        "products_reason": products.reason,
        "command": shlex.join([sys.executable, *sys.argv]),
        "git_commit": _git_commit(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "packages": {name: _version(name) for name in pinned_packages()},
    }


def pinned_packages() -> list[str]:
    """Names in requirements.txt, the one list of what this project depends on."""
    return re.findall(r"^([A-Za-z0-9._-]+)==", (PROJECT / "requirements.txt").read_text(), flags=re.MULTILINE)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(PROJECT), "rev-parse", "HEAD"], capture_output=True, text=True,
                                check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None  # no git on this machine
    return answer.stdout.strip() if answer.returncode == 0 else None
