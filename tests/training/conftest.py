"""Digits to train on."""

import pytest
import torch


@pytest.fixture(scope="module")
def training(problem, trained_indices) -> tuple[torch.Tensor, torch.Tensor]:
    """20 real digits [20, 1, 28, 28] in float64 and their labels."""
    return problem.images(trained_indices).double(), problem.labels[trained_indices]
