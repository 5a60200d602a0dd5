"""The nearest image of a pool."""

import torch

from core.assessment.image_metrics import ssim
from core.assessment.nearest import nearest


def test_each_image_finds_its_own_and_two_may_find_the_same():
    pool = torch.rand(5, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    x = torch.stack([pool[3] * 0.9, pool[3], pool[0]])
    places, values = nearest(x, pool)
    assert places == [3, 3, 0]
    assert values[1] == 1.0
    assert abs(values[0] - ssim(x[0], pool[3])) < 1e-9
