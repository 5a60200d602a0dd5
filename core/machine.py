"""What the operating system knows: cores, GPUs, and whether a process still runs. Never imports torch."""

import os
import shutil
import subprocess
from pathlib import Path

import psutil

from core.errors import InputError

PROJECT = Path(__file__).parents[1]  # the checkout: `python -m core` works from here


def cpu_cores() -> int:
    """Cores that this process may use (a job on a cluster is often confined to a few)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cuda_devices() -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES. Asks nvidia-smi, so that the asking process never opens CUDA itself."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    answer = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True,
                            text=True, check=False)
    return answer.stdout.split() if answer.returncode == 0 else []


def process_started(pid: int) -> float | None:
    """When process `pid` began, None where there is none; with the pid it identifies a process, as pids are reused.

    Seconds since boot on Linux, where psutil's `create_time` would move whenever the clock is set; Unix time elsewhere.
    """
    try:
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            after_name = stat.read_text().rpartition(")")[2].split()  # the name may hold spaces and brackets
            return int(after_name[19]) / os.sysconf("SC_CLK_TCK")     # field 22 of proc(5): starttime
        return psutil.Process(pid).create_time()
    except (OSError, psutil.Error, ValueError):
        return None


def still_runs(pid: int | None, started: float | None) -> bool:
    """Whether the process that began at `started` (see `process_started`) still runs; a zombie does not."""
    if pid is None or started is None or process_started(pid) != started:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def slots(*, default: int = 1) -> int:
    """Runs that share this machine's cores: ``$AFTERIMAGE_SLOTS``, else `default`."""
    text = os.environ.get("AFTERIMAGE_SLOTS", str(default))
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"AFTERIMAGE_SLOTS: {text!r} is not a number of runs; set it to 1 or more, or unset it.")
    return int(text)
