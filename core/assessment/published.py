"""The score of Haim et al. 2022: each training image beside its nearest reconstruction.

Nearest by normalised cross-correlation on images of half the size (bicubic), both less the mean of the training set;
then SSIM (Gaussian window of 3 pixels, sigma 1.5, over the whole image) with the reconstruction, the mean added and
its values stretched to [0, 1]. One reconstruction may stand for several images, and more candidates raise the score:
beside it stands our own, one to one over all targets (`core.assessment.matching`). Published means run over the ten
best alone; here over all.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from core.config.thresholds import RECOVERED
from core.runs.reports.score import PublishedScore


def score_as_published(x: Tensor, truth: Tensor, mean: Tensor) -> PublishedScore:
    """Reconstructions [M, C, H, W], mean added but not clipped; truth [N, C, H, W] in [0, 1]; mean [C, H, W]."""
    x, truth, mean = (tensor.detach().cpu().double() for tensor in (x, truth, mean))
    first, second = _normalised(truth - mean), _normalised(x - mean)
    nearest = (first @ second.T).argmax(1)  # the least distance of unit vectors is the highest correlation
    chosen = x[nearest]
    low, high = chosen.flatten(1).min(1).values, chosen.flatten(1).max(1).values
    spread = (high - low).clamp(min=1e-12)[:, None, None, None]
    values = gaussian_ssim((chosen - low[:, None, None, None]) / spread, truth)
    by_target, found = values.tolist(), nearest.tolist()
    return PublishedScore(ssim=by_target, nearest=found, mean_ssim=sum(by_target) / len(by_target),
                          recovered=sum(value > RECOVERED for value in by_target), targets=len(by_target),
                          used=len(set(found)))


def gaussian_ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of pairs [N, C, H, W] in [0, 1] with a 3 x 3 Gaussian window, reflected borders: [N].

    What ``kornia.metrics.ssim(a, b, window_size=3)`` of copies of the published code gives, averaged over an image: on
    digits within 1e-5 (kornia 0.9 adds 1e-12 to the denominator, which counts where both images are flat and black), on
    noise within 1e-12.
    """
    line = torch.exp(-torch.tensor([1.0, 0.0, 1.0], dtype=a.dtype) / (2 * 1.5**2))
    kernel = (line[:, None] * line / line.sum()**2).expand(a.shape[1], 1, 3, 3)

    def mean(images: Tensor) -> Tensor:
        return conv2d(pad(images, (1, 1, 1, 1), mode="reflect"), kernel, groups=a.shape[1])

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a.square(), mean(b * b) - mean_b.square()
    covariance = mean(a * b) - mean_a * mean_b
    table = ((2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
             / ((mean_a.square() + mean_b.square() + 0.01**2) * (var_a + var_b + 0.03**2)))
    return table.mean((1, 2, 3))


def _normalised(x: Tensor) -> Tensor:
    """Half-size images, each channel free of its mean and of unit deviation, as unit vectors [*, D]."""
    small = interpolate(x, scale_factor=0.5, mode="bicubic", align_corners=False).flatten(2)
    small = small - small.mean(-1, keepdim=True)
    small = small / small.std(-1, keepdim=True).clamp(min=1e-12)
    return torch.nn.functional.normalize(small.flatten(1), dim=-1)
