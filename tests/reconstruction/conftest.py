"""A base and an adapter in files."""

from pathlib import Path

import pytest

from core.artifacts.checkpoint import save_checkpoint
from tests.helpers.released import write_adapter
from tests.helpers.victims import hard_digits, make_victim


@pytest.fixture
def released_files(tmp_path, tiny_network, problem, trained_indices) -> tuple[Path, Path]:
    """Checkpoint and adapter folder of a base of 64 neurons, fine-tuned on two digits."""
    chosen = hard_digits(tiny_network, problem, trained_indices)[:2]
    victim = make_victim(tiny_network, problem.images(chosen).double(), problem.labels[chosen], rank=16)
    save_checkpoint(tmp_path / "base.safetensors", tiny_network, {})
    return tmp_path / "base.safetensors", write_adapter(tmp_path / "adapter", victim.layers)
