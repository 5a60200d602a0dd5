"""What the operating system knows: cores, GPUs, load, and whether a process still runs. Never imports torch."""

import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

from core.io.errors import InputError

GPU_SECONDS = 5.0  # between two questions to nvidia-smi, each of which costs a process
PROJECT = Path(__file__).parents[2]  # the checkout: `python -m core` works from here


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


class Meter:
    """What this process uses of its machine: `read` at each heartbeat."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call begins the interval of the next one
        self._gpu: dict[str, float] = {}
        self._gpu_read = -math.inf

    def read(self) -> dict[str, float]:
        """``cpu``: cores busy since the last call, of ``cores``; ``memory`` of ``memory_total``, bytes. Once the
        process computes on a GPU also ``gpu``, a share, and ``gpu_memory`` of ``gpu_memory_total``, bytes, of the
        whole device."""
        found = {"cpu": self._process.cpu_percent() / 100, "cores": cpu_cores(),
                 "memory": self._process.memory_info().rss, "memory_total": psutil.virtual_memory().total}
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized() and time.monotonic() - self._gpu_read > GPU_SECONDS:
            self._gpu_read = time.monotonic()
            self._gpu = gpu_load((cuda_devices() or ["0"])[torch.cuda.current_device()])
        return found | self._gpu


def gpu_load(device: str) -> dict[str, float]:
    """Use of a GPU as nvidia-smi tells it: ``gpu``, ``gpu_memory``, ``gpu_memory_total``; {} where it does not."""
    if shutil.which("nvidia-smi") is None:
        return {}
    answer = subprocess.run(["nvidia-smi", "-i", device, "--query-gpu=utilization.gpu,memory.used,memory.total",
                             "--format=csv,noheader,nounits"], capture_output=True, text=True, check=False)
    try:
        share, used, total = (float(value) for value in answer.stdout.split(","))
    except ValueError:  # "[N/A]" of a MIG slice, or an error
        return {}
    return {"gpu": share / 100, "gpu_memory": used * 2**20, "gpu_memory_total": total * 2**20}


def slots(*, default: int = 1) -> int:
    """Runs that share this machine's cores: ``$AFTERIMAGE_SLOTS``, else `default`."""
    text = os.environ.get("AFTERIMAGE_SLOTS", str(default))
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"AFTERIMAGE_SLOTS: {text!r} is not a number of runs; set it to 1 or more, or unset it.")
    return int(text)
