import pytest
import torch

from core.reconstruction.priors.penalties import Box, MinLambda, Sparsity, TotalVariation


def images(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 2, 1, 6, 5, generator=generator, dtype=torch.float64)


PENALTIES = [Box(1.0), Sparsity(1.0), TotalVariation(1.0), MinLambda(1.0, 0.4)]


def judged(penalty) -> torch.Tensor:
    """A random variable of the kind that the penalty judges."""
    return images() if penalty.judges == "x" else images()[..., 0, 0, 0].abs()


@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradient_is_autograds(penalty):
    variable = judged(penalty).requires_grad_()
    value, gradient = penalty.evaluate(variable)
    expected = torch.autograd.grad(value.sum(), variable)[0]
    assert value.shape == (3,)
    assert torch.allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_restarts_do_not_see_each_other(penalty):
    variable = judged(penalty)
    value, gradient = penalty.evaluate(variable)
    alone = penalty.evaluate(variable[1:2])
    assert torch.equal(value[1:2], alone[0])
    assert torch.equal(gradient[1:2], alone[1])


def test_box_is_zero_inside_and_the_squared_distance_outside():
    x = torch.full((1, 2, 1, 2, 2), 0.5)
    assert Box(1.0).evaluate(x)[0].item() == 0
    x[0, 0, 0, 0, 0], x[0, 1, 0, 1, 1] = 1.5, -2.0
    assert Box(1.0).evaluate(x)[0].item() == pytest.approx((0.25 + 4.0) / 2)


def test_total_variation_counts_an_edge_by_its_height():
    flat, edge = torch.zeros(1, 1, 1, 4, 4), torch.zeros(1, 1, 1, 4, 4)
    edge[..., 2:] = 1.0
    assert TotalVariation(1.0).evaluate(flat)[0].item() == 0
    assert TotalVariation(1.0).evaluate(edge)[0].item() == pytest.approx(4.0, rel=0.02)  # 4 rows, one step of 1 each


def test_sparsity_is_the_sum_of_the_pixels_of_an_image():
    x = torch.zeros(1, 2, 1, 3, 3)
    assert Sparsity(1.0).evaluate(x)[0].item() == 0
    x[0, 0, 0, 0, 0] = 1.0
    assert Sparsity(1.0).evaluate(x)[0].item() == pytest.approx(0.5, rel=0.02)  # 1 in one of two images


def test_multipliers_are_pushed_up_to_the_least_and_no_further():
    lam = torch.tensor([[0.1, 0.5, 2.0], [0.4, 0.4, 0.4]])
    value, gradient = MinLambda(1.0, 0.4).evaluate(lam)
    assert value.tolist() == pytest.approx([0.03, 0.0])  # 0.3 squared, of three
    assert gradient.tolist() == [pytest.approx([-0.2, 0.0, 0.0]), [0.0, 0.0, 0.0]]
