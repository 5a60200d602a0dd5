"""Image metrics on [0, 1] images, computed by scikit-image where it has them."""

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity of two images [C, H, W] in [0, 1], data_range 1 (Wang et al. 2004)."""
    first, second = _array(a), _array(b)
    window = min(7, first.shape[1] - (first.shape[1] + 1) % 2, first.shape[2] - (first.shape[2] + 1) % 2)
    return float(structural_similarity(first, second, data_range=1.0, channel_axis=0, win_size=window))


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, data_range 1; identical images give 200 dB instead of infinity."""
    first, second = _array(a), _array(b)
    if np.mean((first - second) ** 2) < 1e-20:
        return 200.0
    return float(peak_signal_noise_ratio(first, second, data_range=1.0))


def ncc(a: Tensor, b: Tensor) -> float:
    """Normalised cross-correlation in [-1, 1]; 0 where an image is constant."""
    first, second = (_array(image).ravel() - _array(image).mean() for image in (a, b))
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm > 0 else 0.0


METRICS = {"ssim": ssim, "psnr": psnr, "ncc": ncc}


def _array(image: Tensor) -> np.ndarray:
    return image.detach().to(torch.float64).cpu().numpy()
