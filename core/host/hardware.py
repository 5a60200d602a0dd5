"""What the operating system knows: cores, GPUs, load, and whether a process still runs. Never imports torch."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pynvml

from core.io.errors import InputError

GPU_SECONDS = 5.0  # between two questions to the GPU's driver, which is opened anew for each
PROJECT = Path(__file__).parents[2]  # the checkout: `python -m core` works from here


def cpu_cores() -> int:
    """Cores that this process may use (a job on a cluster is often confined to a few)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cuda_devices() -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES. Asks the driver's management library: the asking process never opens CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    try:
        with _driver():
            return [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:  # no driver
        return []


@contextlib.contextmanager
def _driver() -> Iterator[None]:
    """NVIDIA's management library, open inside the block; raises ``NVMLError`` where there is none."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


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
    """Use of a GPU, named by its index or UUID: ``gpu``, ``gpu_memory``, ``gpu_memory_total``; {} where the driver does
    not tell, as of a MIG slice."""
    try:
        with _driver():
            handle = (pynvml.nvmlDeviceGetHandleByIndex(int(device)) if device.isdigit() else
                      pynvml.nvmlDeviceGetHandleByUUID(device))
            share, memory = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu, pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError:
        return {}
    return {"gpu": share / 100, "gpu_memory": float(memory.used), "gpu_memory_total": float(memory.total)}


def slots(*, default: int = 1) -> int:
    """Runs that share this machine's cores: ``$AFTERIMAGE_SLOTS``, else `default`."""
    text = os.environ.get("AFTERIMAGE_SLOTS", str(default))
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"AFTERIMAGE_SLOTS: {text!r} is not a number of runs; set it to 1 or more, or unset it.")
    return int(text)
