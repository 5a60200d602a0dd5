"""The published score at known values, and that it is blind to what NCC and stretching remove."""

import pytest
import torch
from torch.nn.functional import interpolate

from core.assessment.published import gaussian_ssim, score_as_published


def digits(problem, count: int, start: int = 0) -> torch.Tensor:
    return problem.images(range(start, start + count)).double()


def test_stretched_and_shuffled_truth_scores_one(problem):
    truth = digits(problem, 8)
    mean = truth.mean(0)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    x = truth[order] * 0.7 + 0.1  # stretching to [0, 1] undoes it; correlation with the mean subtracted nearly so
    score = score_as_published(torch.cat([torch.rand(3, 1, 28, 28), x]), truth, mean)
    assert torch.tensor(score.nearest).sub(3)[order].tolist() == list(range(8))
    assert score.ssim == pytest.approx([1.0] * 8, abs=1e-6)
    assert score.recovered == score.used == 8


def test_nearest_is_that_of_correlation_by_hand(problem):
    truth, x = digits(problem, 4), digits(problem, 6, start=40)
    mean = truth.mean(0)
    score = score_as_published(x, truth, mean)
    for target, nearest in zip(truth, score.nearest, strict=True):
        pairs = [torch.corrcoef(torch.stack([half(image - mean), half(target - mean)]))[0, 1].item() for image in x]
        assert nearest == max(range(6), key=pairs.__getitem__)


def half(image: torch.Tensor) -> torch.Tensor:
    return interpolate(image[None], size=(14, 14), mode="bicubic").flatten()


def test_one_image_may_stand_for_all_targets(problem):
    truth = digits(problem, 5)
    score = score_as_published(truth[:1], truth, truth.mean(0))
    assert (score.used, score.targets) == (1, 5)
    assert score.ssim[0] == pytest.approx(1.0, abs=1e-6)


def test_window_is_the_published_one():
    """A lone bright pixel in 3 x 3: weights exp(-r^2 / 4.5), normalised, worked out by hand."""
    a, b = torch.zeros(1, 1, 5, 5, dtype=torch.float64), torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    a[0, 0, 2, 2] = 1.0
    side = torch.exp(torch.tensor(-1 / 4.5, dtype=torch.float64))
    centre, edge, corner = (w / (1 + 2 * side) ** 2 for w in (1.0, side, side**2))
    expected = 16 / 25
    for weight, count in ((centre, 1), (edge, 4), (corner, 4)):
        luminance = 1e-4 / (weight**2 + 1e-4)
        contrast = 9e-4 / (weight - weight**2 + 9e-4)
        expected += count / 25 * luminance * contrast
    assert gaussian_ssim(a, b).item() == pytest.approx(float(expected))


def test_it_is_the_ssim_of_kornia():
    """Of two pairs by ``kornia.metrics.ssim(a, b, 3).mean((1, 2, 3))``, kornia 0.9.0; with its 1e-12 in the
    denominator, which we leave out."""
    y, x = torch.meshgrid(*2 * [torch.arange(6, dtype=torch.float64)], indexing="ij")
    a = torch.stack([(6 * y + x) / 35, ((y - x) % 3) / 2])[:, None]
    b = torch.stack([y * x / 25, (y + x) / 10])[:, None]
    assert gaussian_ssim(a, b).tolist() == pytest.approx([0.5010438971341551, 0.0032605241276431694], abs=1e-8)
