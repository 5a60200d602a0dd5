"""A small victim and candidates for its objectives."""

import pytest
import torch

from core.reconstruction.candidate import Candidate
from core.threat.observe import Victim
from tests.helpers.victims import hard_digits, make_victim


@pytest.fixture
def victim(tiny_network, problem, trained_indices) -> Victim:
    """N = 3 visible digits, rank 32, float64."""
    chosen = hard_digits(tiny_network, problem, trained_indices)[:3]
    return make_victim(tiny_network, problem.images(chosen).double(), problem.labels[chosen], rank=32)


@pytest.fixture
def random_candidate(victim) -> Candidate:
    """R = 4, N = 3, at random."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(4, 3, 1, 28, 28, generator=generator, dtype=torch.float64)
    lam = torch.rand(4, 3, generator=generator, dtype=torch.float64) * 0.01 + 0.001
    return Candidate(x, torch.randint(0, 2, (4, 3), generator=generator), lam)
