"""The one place that chooses device and dtype."""

import os
from dataclasses import dataclass

import torch

from core.host.hardware import cpu_cores
from core.io.errors import InputError

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Compute:
    """Where and in which precision an engine computes."""

    device: torch.device
    dtype: torch.dtype

    def place(self, tensor: torch.Tensor) -> torch.Tensor:
        """Move a floating tensor here. Casts before the move: MPS has no float64."""
        return tensor.to(dtype=self.dtype).to(device=self.device)

    def describe(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return f"{name}, {str(self.dtype).removeprefix('torch.')}"


def available_devices() -> list[str]:
    """Devices of this machine, best first, as the config names them."""
    devices = []
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def choose(*, device: str = "auto", precision: str = "float32") -> Compute:
    """Resolve the two config fields; raises `InputError` where this machine cannot comply."""
    devices = available_devices()
    name = devices[0] if device == "auto" else device
    if name not in devices:
        raise InputError(f"device: {name!r} is not available on this machine; choose one of auto, "
                         f"{', '.join(devices)}.")
    if name == "mps" and precision == "float64":
        raise InputError("precision: MPS has no float64; choose float32, or device cpu.")
    return Compute(torch.device(name), DTYPES[precision])


def set_threads(slots: int = 1) -> int:
    """Share the CPU cores between `slots` concurrent runs; returns the threads of this one.

    ``OMP_NUM_THREADS``, where somebody set it, is an upper bound.
    """
    threads = max(1, cpu_cores() // slots)
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        threads = min(threads, int(wanted))
    torch.set_num_threads(threads)
    return threads
