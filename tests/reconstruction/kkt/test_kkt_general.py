"""The KKT attack on networks that are not fully connected, and how both paths say that there is nothing to find."""

import time

import pytest
import torch
from torch import nn

from core.assessment.matching import match
from core.config.monitor import Silent
from core.io.errors import InputError
from core.models.conv import ConvNet
from core.models.mlp import MLP
from core.reconstruction.kkt.attack import attack
from core.reconstruction.solvers.protocol import Status
from core.runs.kinds import AttackConfig
from core.threat.model import ThreatModel
from core.threat.observation import TrainedWeights
from tests.helpers.kkt import FAST


def launch(network: nn.Module, **knobs):
    return attack(TrainedWeights(network, ThreatModel()), AttackConfig(**{**FAST, **knobs}), Silent(),
                  began=time.monotonic())


def convolutional(**shape) -> ConvNet:
    """Never trained."""
    torch.manual_seed(0)
    return ConvNet(**{"channels": [4], "kernels": [5], "strides": [3], "paddings": [0], "hidden": [8],
                      **shape}).requires_grad_(False)


def fully_connected(*, biases: list[bool] | None = None) -> MLP:
    torch.manual_seed(0)
    return MLP([784, 64, 64, 1], biases=biases).requires_grad_(False)


class Preceded(ConvNet):
    """`convolutional` behind another module."""

    def __init__(self, first: nn.Module) -> None:
        super().__init__(channels=[4], kernels=[5], strides=[3], paddings=[0], hidden=[8])
        self.first = first
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(self.first(x))


@pytest.fixture(scope="module")
def as_convolution(stationary) -> ConvNet:
    """The same function of an image: a filter as large as the image is a row of a matrix."""
    network = convolutional(channels=[128], kernels=[28], strides=[1], hidden=[128])
    state = network.state_dict()
    network.load_state_dict({name: tensor.view(state[name].shape) for name, tensor in stationary.state_dict().items()})
    return network


def test_a_convolutional_network_gives_back_its_four_digits(as_convolution, digits_of_four):
    """As `test_a_search_in_pixels_finds_them_too`, through autograd, with the number of digits guessed."""
    x, _ = digits_of_four
    outcome = launch(as_convolution, candidates=4)
    assert "every candidate is given back" in outcome.samples_found_by
    assert match(outcome.x, x).mean("ssim") > 0.6
    assert outcome.status is Status.ITERATIONS
    assert set(outcome.residuals) == {"residual", *(f"residual.layers.{index}" for index in range(3))}


def test_both_paths_search_alike(as_convolution, stationary):
    """float64, a few steps: what the two objectives differ by is rounding alone."""
    options = {"search": "pixels", "candidates": 4, "iterations": 12, "precision": "float64", "samples": 4}
    written = attack(TrainedWeights(stationary, ThreatModel(samples=4)), AttackConfig(**{**FAST, **options}),
                     Silent(), began=time.monotonic())
    general = attack(TrainedWeights(as_convolution, ThreatModel(samples=4)), AttackConfig(**{**FAST, **options}),
                     Silent(), began=time.monotonic())
    assert torch.allclose(written.x, general.x, atol=1e-6)
    assert general.residuals == pytest.approx(written.residuals, rel=1e-6)


@pytest.mark.parametrize("network", [fully_connected, convolutional])
def test_a_network_that_was_never_trained_ends_in_a_status_of_its_own(network):
    outcome = launch(network(), candidates=3, iterations=60, restarts=1)
    assert outcome.status is Status.NOT_STATIONARY
    assert "not trained to stationarity" in outcome.status.value
    assert len(outcome.x) == 3


@pytest.mark.parametrize("network", [
    lambda: fully_connected(biases=[True, True, False]), lambda: convolutional(biases=[True, True, False]),
    lambda: Preceded(nn.Dropout(0.2)), lambda: Preceded(nn.BatchNorm2d(1))])
def test_a_network_that_is_not_homogeneous_ends_in_a_status_of_its_own(network):
    outcome = launch(network(), candidates=2, iterations=3, restarts=1)
    assert outcome.status is Status.NOT_HOMOGENEOUS
    assert outcome.limits[0] == Status.NOT_HOMOGENEOUS.value


@pytest.mark.parametrize("network", [fully_connected, convolutional])
def test_divergence_ends_in_a_status_and_keeps_the_last_finite_images(network):
    outcome = launch(network(), candidates=2, iterations=40, restarts=2, optimizer="sgd", lr_x=10.0,
                     lr_coefficients=10.0, lambda_space="linear", box_weight=1e4, search="pixels", record_every=1)
    assert outcome.status is Status.DIVERGED
    assert outcome.limits[0] == Status.DIVERGED.value
    assert torch.isfinite(outcome.x).all()
    assert outcome.x.std() > 0


@pytest.mark.parametrize("network", [fully_connected, convolutional])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 0.0])
def test_weights_that_are_not_finite_or_all_zero_are_refused(network, value):
    broken = network()
    broken.layers[1].weight.fill_(value)
    with pytest.raises(InputError, match=r"^checkpoint: .*layers\.1"):
        launch(broken, candidates=2, iterations=1)


def test_what_is_there_for_fully_connected_networks_only_says_so():
    with pytest.raises(InputError, match=r"^kkt_objective: naive is there for fully connected"):
        launch(convolutional(), candidates=2, kkt_objective="naive")
    with pytest.raises(InputError, match=r"^samples: N is not known .* a convolution"):
        launch(convolutional())


def test_fewer_parameters_than_pixels_is_said():
    limits = launch(convolutional(), candidates=20, iterations=1, restarts=1).limits
    assert any("fewer than the 15,680 pixels of 20 candidates" in sentence for sentence in limits)
