import math

import pytest
import torch
from skimage.metrics import structural_similarity

from core.assessment.image_metrics import ncc, psnr, ssim, ssim_table
from core.assessment.matching import match


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


def test_metrics_at_known_values():
    a = pictures(1)[0]
    assert ssim(a, a) == pytest.approx(1.0)
    assert psnr(a, a) == 200.0
    assert ncc(a, a) == pytest.approx(1.0)
    assert ncc(a, 1 - a) == pytest.approx(-1.0)
    assert ncc(a, torch.ones_like(a)) == 0.0
    flat = torch.full_like(a, 0.5)
    assert psnr(flat, flat + 0.1) == pytest.approx(-20 * math.log10(0.1), abs=1e-3)


def test_ssim_is_scikit_images_with_data_range_one():
    a, b = pictures(2)
    expected = structural_similarity(a[0].double().numpy(), b[0].double().numpy(), data_range=1.0)
    assert ssim(a, b) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 9, 10), (1, 4, 28)])
def test_table_of_ssim_holds_every_pair(shape):
    generator = torch.Generator().manual_seed(2)
    x, truth = torch.rand(4, *shape, generator=generator), torch.rand(3, *shape, generator=generator)
    expected = torch.tensor([[ssim(image, target) for image in x] for target in truth], dtype=torch.float64)
    assert torch.allclose(ssim_table(x, truth), expected, atol=1e-10)


def test_match_undoes_a_permutation():
    truth = pictures(5)
    order = [3, 0, 4, 1, 2]
    score = match(truth[order], truth)
    assert [order[index] for index in score.assignment] == list(range(5))
    assert score.mean("ssim") == pytest.approx(1.0)


def test_match_uses_each_reconstruction_once():
    """Two targets, both closest to one reconstruction: the other target gets the other, however poor."""
    truth = pictures(2)
    copies = torch.stack([truth[0], truth[0] * 0.0])
    score = match(copies, truth)
    assert sorted(score.assignment) == [0, 1]
    assert score.values["ssim"][1] < 0.5


def test_missing_reconstructions_count_as_zero_and_extra_ones_do_not_count():
    truth = pictures(4)
    few = match(truth[:1], truth)
    assert few.targets == 4
    assert few.mean("ssim") == pytest.approx(0.25)
    assert few.assignment == [0, None, None, None]
    many = match(torch.cat([truth, pictures(3, seed=9)]), truth)
    assert many.targets == 4
    assert many.mean("ssim") == pytest.approx(1.0)
