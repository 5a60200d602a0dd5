"""How many samples an adapter carries: the numerical rank of its B factors and the gap in their spectra.

At T = 1, B_l = scaling * sum_i k_i e_i (A h_i)^T has rank min(N, r). Later steps and rounding add
a tail; N stands at the largest gap above the noise of the stored precision. (DSiRe 2024 counts
samples from LoRA spectra with a learned classifier; here the rank is read off.)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.threat.observation import AdapterDelta

# Rounding n x r entries of one size to relative precision eps makes singular values up to about
# eps * (sqrt(n) + sqrt(r)) / sqrt(n r) of the largest, which is below eps; the factor allows for the
# rounding of the fine-tuning's own sums.
ROUNDING = 4.0


@dataclass(frozen=True)
class SampleCount:
    """N, whether the adapter's rank caps it (N or more), and the sentence for the report."""

    samples: int
    capped: bool
    explanation: str


def spectrum(B: Tensor) -> Tensor:
    """Singular values of a stored factor, largest first, in float64."""
    return torch.linalg.svdvals(B.detach().cpu().double())


def noise_floor(B: Tensor) -> float:
    """Singular values below this fraction of the largest may be rounding to the stored precision."""
    return ROUNDING * torch.finfo(B.dtype).eps


def count_samples(observation: AdapterDelta, *, most: int = 64) -> SampleCount:
    """N from the hidden layers' spectra: at the largest gap among the signal values (or below them)."""
    found: list[tuple[float, int, int, str]] = []  # gap, N, rank of the adapter, layer
    for name, factors in observation.layers.items():
        values = spectrum(factors.B)
        if values[0] == 0 or len(values) == 0 or factors.B.shape[0] == 1:
            continue  # an output layer with one logit has rank 1 whatever N is
        floor = float(noise_floor(factors.B) * values[0])
        padded = torch.cat([values.clamp(min=floor), torch.tensor([floor], dtype=values.dtype)])[:most + 1]
        gaps = padded[:-1] / padded[1:]
        index = int(gaps.argmax())
        found.append((float(gaps[index]), index + 1, min(factors.A.shape[0], *factors.B.shape), name))
    if not found:
        return SampleCount(1, False, "N = 1 assumed: no hidden layer's adapter shows a spectrum.")
    gap, samples, rank, name = max(found, key=lambda item: (item[1], item[0]))
    capped = samples >= rank
    ending = f"; the adapter's rank is {rank}, so there may be more" if capped else ""
    return SampleCount(samples, capped, f"N = {samples} from the spectrum of {name}: the largest gap, a factor of "
                       f"{gap:.3g}, stands after {samples} singular value{'s' if samples > 1 else ''}{ending}.")
