"""The image of a pool that a reconstruction is most like: is it a private sample, or one that the base had seen?"""

from torch import Tensor

from core.assessment.image_metrics import ssim_table


def nearest(x: Tensor, pool: Tensor) -> tuple[list[int], list[float]]:
    """For each image of `x` [M, C, H, W] the place in `pool` [P, C, H, W] of largest SSIM, and that SSIM.

    All in [0, 1]. Several images may have the same neighbour, unlike in `core.assessment.matching.match`.
    """
    best = ssim_table(x, pool).max(0)
    return best.indices.tolist(), best.values.tolist()
