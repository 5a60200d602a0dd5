"""What a machine tells of itself."""

import os

import pytest

from core.host.hardware import gpu_load


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A stand-in that prints what the real one would."""
    def answers(text: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\necho '{text}'\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return answers


def test_the_load_of_a_gpu_in_shares_and_bytes(nvidia_smi):
    nvidia_smi("93, 10240, 81559")
    assert gpu_load("0") == {"gpu": 0.93, "gpu_memory": 10240 * 2**20, "gpu_memory_total": 81559 * 2**20}


@pytest.mark.parametrize("answer", ["[N/A], 10240, 81559", "No devices were found", ""])
def test_a_gpu_that_does_not_tell_has_no_meter(nvidia_smi, answer):
    nvidia_smi(answer)
    assert gpu_load("0") == {}
