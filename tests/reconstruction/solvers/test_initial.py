import pytest
import torch

from core.host.compute import Compute
from core.reconstruction.objectives.ntk import NTKStationarity
from core.reconstruction.solvers.initial import draw_start, label_patterns
from core.reconstruction.solvers.search_space import pixels, row_space
from core.threat.observe import observe
from tests.helpers.victims import hard_digits, make_victim

FLOAT64 = Compute(torch.device("cpu"), torch.float64)


@pytest.fixture(params=[32, 800], ids=["rank 32", "full rank"])
def victim(request, tiny_network, problem, trained_indices):
    chosen = hard_digits(tiny_network, problem, trained_indices)[:3]
    return make_victim(tiny_network, problem.images(chosen).double(), problem.labels[chosen], rank=request.param)


@pytest.fixture
def objective(victim):
    return NTKStationarity(observe(victim, "informed"), samples=3, whitening=1.0, compute=FLOAT64)


def draw(objective, space, **changes):
    options = {"samples": 3, "restarts": 5, "labels": torch.tensor([1, 0, 1]), "coefficients": None,
               "init_scale": 0.3, "seed": 7, "compute": FLOAT64, **changes}
    return draw_start(objective, space, **options)


def spaces(objective):
    return [row_space(objective, compute=FLOAT64), pixels(objective.input_mean)]


def test_same_seed_same_start(objective):
    for space in spaces(objective):
        a, b, c = draw(objective, space), draw(objective, space), draw(objective, space, seed=8)
        assert torch.equal(a.coordinates, b.coordinates)
        assert torch.equal(a.lam, b.lam)
        assert not torch.equal(a.coordinates, c.coordinates)


def test_starts_have_the_asked_deviation(objective):
    for space in spaces(objective):
        images = space.images(draw(objective, space).coordinates) - space.centre
        assert torch.allclose(images.flatten(2).square().mean(-1).sqrt(), torch.full((5, 3), 0.3, dtype=torch.float64))


def test_the_row_space_holds_the_private_samples(objective, victim):
    """Whatever the rank, the truth is among the images that are searched."""
    space = row_space(objective, compute=FLOAT64)
    rank = victim.layers["layers.0"].A.shape[0]
    assert space.size == 3 + max(0, 784 - rank)
    inputs = (victim.x - space.centre).flatten(1)
    nearest = torch.linalg.lstsq(space.basis, inputs.T).solution
    assert torch.allclose(space.basis @ nearest, inputs.T, atol=1e-6)


def test_pull_back_is_the_transpose_of_images(objective):
    generator = torch.Generator().manual_seed(0)
    for space in spaces(objective):
        coordinates = torch.randn(2, 3, space.size, generator=generator, dtype=torch.float64)
        grad = torch.randn(2, 3, 1, 28, 28, generator=generator, dtype=torch.float64)
        through_images = ((space.images(coordinates) - space.centre) * grad).sum()
        assert torch.allclose(through_images, (coordinates * space.pull_back(grad)).sum())


def test_known_coefficients_are_taken_by_size(objective, victim):
    start = draw(objective, spaces(objective)[0], coefficients=victim.coefficients)
    assert torch.equal(start.lam[3], victim.coefficients.abs())


def test_unknown_labels_are_all_tried_balanced_first():
    patterns = label_patterns(3, 4)
    assert sorted(patterns.sum(1).tolist()) == [0, 1, 2, 3]
    assert abs(2 * int(patterns[0].sum()) - 3) == 1
    assert label_patterns(2, 7).shape == (7, 2)
