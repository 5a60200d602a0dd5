import pytest
import torch

from core.config.thresholds import ROUNDING_FLOOR
from core.diagnostics.visibility import is_visible, judge, pool_coefficients, visibility
from core.models.mlp import MLP


def test_visibility_is_relative_to_the_largest():
    assert visibility(torch.tensor([-0.5, 0.25, 0.0])).tolist() == [1.0, 0.5, 0.0]
    assert visibility(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", list(ROUNDING_FLOOR))
def test_verdicts_follow_the_stored_precision(dtype):
    floor = ROUNDING_FLOOR[dtype]
    found = judge(torch.tensor([0.3, 0.3 * floor * 1.01, 0.3 * floor * 0.99], dtype=torch.float64), stored_dtype=dtype)
    assert found.verdicts == ["visible", "weak" if floor < 1 / 30 else "visible", "hidden"]
    assert dtype in " ".join(found.notes)


def test_thirtyfold_separates_visible_from_weak():
    found = judge(torch.tensor([-0.3, 0.3 / 29, 0.3 / 31]))
    assert found.verdicts == ["visible", "visible", "weak"]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("1 of 3 samples is weak")


def test_all_near_zero_is_said_although_relative_visibility_is_fine():
    found = judge(torch.tensor([1e-18, -0.8e-18], dtype=torch.float64))
    assert found.verdicts == ["visible", "visible"]
    assert found.largest == pytest.approx(2e-18)
    assert "1" in found.notes[0]
    assert "fits every sample already" in found.notes[0]


def wrong_signs(dtype: torch.dtype, ratio: float) -> float:
    """Share of 400 gates of a weak sample read wrongly from rounded factors, knowing all inputs and the best cut."""
    generator = torch.Generator().manual_seed(0)
    h = torch.rand(2, 200, generator=generator, dtype=torch.float64)
    open_gates = torch.rand(2, 400, generator=generator) > 0.5
    e = torch.randn(2, 400, generator=generator, dtype=torch.float64) * open_gates
    A = (torch.rand(64, 200, generator=generator, dtype=torch.float64) * 2 - 1) / 200 ** 0.5
    B = (e * torch.tensor([[1e-2], [1e-2 * ratio]])).T @ (h @ A.T)
    A, B = A.to(dtype).double(), B.to(dtype).double()
    read = (B @ torch.linalg.pinv(h @ A.T))[:, 1].abs()
    gates = open_gates[1][read.argsort(descending=True)]
    right = torch.cumsum(gates, 0) + (~gates).sum() - torch.cumsum(~gates, 0)  # cut after each neuron in turn
    return 1 - right.max().item() / 400


@pytest.mark.parametrize("dtype", list(ROUNDING_FLOOR))
def test_the_floor_is_where_rounding_hides_signs(dtype):
    stored = getattr(torch, dtype)
    assert wrong_signs(stored, 2 * ROUNDING_FLOOR[dtype]) < 0.02
    if dtype != "float64":  # computing in float64 adds its own rounding there
        assert wrong_signs(stored, ROUNDING_FLOOR[dtype] / 1000) > 0.1


def test_visible_samples_of_a_pool():
    assert is_visible(torch.tensor([-0.9, 0.9 / 29, 0.9 / 31, 0.0])).tolist() == [True, True, False, False]


def test_pool_coefficients_in_batches_equal_the_gradient():
    network = MLP([16, 8, 1], image_shape=(1, 4, 4))
    x, labels = torch.rand(11, 1, 4, 4), torch.arange(11) % 2
    logits = network(x).detach().requires_grad_()
    torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum").backward()
    torch.testing.assert_close(pool_coefficients(network, x, labels, batch_size=4).float(), logits.grad)
