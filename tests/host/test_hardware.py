"""What a machine tells of itself."""

import subprocess
import sys
from types import SimpleNamespace

import pynvml
import pytest

from core.host.hardware import cuda_devices, gpu_load


@pytest.fixture
def driver(monkeypatch):
    """A stand-in for the driver's library: two GPUs. Where it is made to fail, as NVML would."""
    opened = []

    def handle(name):
        assert opened, "the library was not opened"
        if name not in (0, 1, "GPU-5ad8"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return name

    answers = {"nvmlInit": lambda: opened.append(True), "nvmlShutdown": opened.pop, "nvmlDeviceGetCount": lambda: 2,
               "nvmlDeviceGetHandleByIndex": handle, "nvmlDeviceGetHandleByUUID": handle,
               "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=93, memory=40),
               "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(used=10240 * 2**20, total=81559 * 2**20)}
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)

    def fails(name, code):
        def refuse(*_):
            raise pynvml.NVMLError(code)
        monkeypatch.setattr(pynvml, name, refuse)

    yield fails
    assert opened == [], "the library was left open"


@pytest.mark.parametrize("device", ["0", "1", "GPU-5ad8"])
def test_the_load_of_a_gpu_in_shares_and_bytes(driver, device):
    assert gpu_load(device) == {"gpu": 0.93, "gpu_memory": 10240 * 2**20, "gpu_memory_total": 81559 * 2**20}


@pytest.mark.parametrize(("name", "code"), [
    ("nvmlInit", pynvml.NVML_ERROR_LIBRARY_NOT_FOUND),
    ("nvmlInit", pynvml.NVML_ERROR_DRIVER_NOT_LOADED),
    ("nvmlDeviceGetUtilizationRates", pynvml.NVML_ERROR_NOT_SUPPORTED),  # of a MIG slice
])
def test_a_gpu_that_does_not_tell_has_no_meter(driver, name, code):
    driver(name, code)
    assert gpu_load("0") == {}


def test_a_gpu_that_is_not_there_has_no_meter(driver):
    assert gpu_load("7") == gpu_load("MIG-1") == {}


def test_the_gpus_of_a_machine(driver, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cuda_devices() == ["0", "1"]
    driver("nvmlInit", pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert cuda_devices() == []


@pytest.mark.parametrize(("visible", "devices"), [
    ("", []), ("-1", []), ("1", ["1"]), ("GPU-5ad8,0", ["GPU-5ad8", "0"])])
def test_what_a_person_made_visible_counts(driver, monkeypatch, visible, devices):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cuda_devices() == devices


def test_asking_opens_neither_torch_nor_cuda():
    code = ("import sys; from core.host.hardware import cuda_devices, gpu_load; cuda_devices(); gpu_load('0'); "
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
