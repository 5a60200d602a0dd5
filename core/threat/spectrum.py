"""How many samples an update carries: the numerical rank of its B factors, or of dW, and the gap in their spectra.

At T = 1, B_l = scaling * sum_i k_i e_i (A h_i)^T has rank min(N, r), and dW_l rank N. In the first layer that holds
for any number of gradient steps, since its inputs never change and A moves in the span of the A x_i alone: N is its
numerical rank, where the values end in a cliff. Elsewhere later steps and rounding add a tail, and N stands
at the largest gap above the noise of the stored precision. (DSiRe 2024 counts samples from LoRA spectra with
a learned classifier; here the rank is read off.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.threat.observation import AdapterDelta, WeightDelta

# Rounding n x r entries of one size to relative precision eps makes singular values up to about
# eps * (sqrt(n) + sqrt(r)) / sqrt(n r) of the largest, which is below eps; the factor allows for the
# rounding of the fine-tuning's own sums.
ROUNDING = 4.0
CLIFF = 5.0  # ratio of neighbours where the signal of the first layer ends; within a smooth tail it is far less


@dataclass(frozen=True)
class SampleCount:
    """N, whether the adapter's rank caps it (N or more), and the sentence for the report."""

    samples: int
    capped: bool
    explanation: str
    certain: bool = False   # the numerical rank of the first layer, whose inputs never move


def spectrum(B: Tensor) -> Tensor:
    """Singular values of a stored factor, largest first, in float64."""
    return torch.linalg.svdvals(B.detach().cpu().double())


def noise_floor(B: Tensor) -> float:
    """Singular values below this fraction of the largest may be rounding to the stored precision."""
    return ROUNDING * torch.finfo(B.dtype).eps


def signal(observation: AdapterDelta | WeightDelta) -> Iterator[tuple[str, Tensor, float]]:
    """Layer by layer: its singular values, largest first, and the size below which they may be rounding.

    Only layers whose rank can tell samples apart: an output layer with one logit has rank 1 whatever N is.
    """
    for name in observation.layers:
        matrix = observation.matrix(name)
        values = spectrum(matrix)
        if matrix.shape[0] > 1 and values[0] > 0:
            floor = noise_floor(matrix) * float(values[0])
            floor = max(floor, observation.rounding(name))
            yield name, values, floor


def tail(observation: AdapterDelta | WeightDelta, samples: int) -> float:
    """Share, in norm, of the first layer's update beyond N directions: later steps, rounding, or more samples. The
    worst layer's where the first has no update."""
    shares = {name: float((values[samples:].square().sum() / values.square().sum()).sqrt())
              for name, values, _ in signal(observation)}
    return shares.get("layers.0", max(shares.values(), default=0.0))


def count_samples(observation: AdapterDelta | WeightDelta, *, most: int = 64) -> SampleCount:
    """N from the hidden layers' spectra: at the largest gap among the signal values (or below them)."""
    found: list[tuple[float, int, int, str]] = []  # gap, N, rank of the adapter, layer
    for name, values, floor in signal(observation):
        if name == "layers.0" and (rank := cliff(values[:most + 1], floor)):
            return SampleCount(rank, False, f"N = {rank} is the numerical rank of layers.0's update, which holds for "
                               "any number of gradient steps.", certain=True)
        padded = torch.cat([values.clamp(min=floor), torch.tensor([floor], dtype=values.dtype)])[:most + 1]
        gaps = padded[:-1] / padded[1:]
        index = int(gaps.argmax())
        found.append((float(gaps[index]), index + 1, len(values), name))
    if not found:
        return SampleCount(1, False, "N = 1 assumed: no hidden layer's update shows a spectrum.")
    gap, samples, rank, name = max(found, key=lambda item: (item[1], item[0]))
    capped = samples >= rank
    ending = f"; the update's rank is at most {rank}, so there may be more" if capped else ""
    return SampleCount(samples, capped, f"N = {samples} from the spectrum of {name}: the largest gap, a factor of "
                       f"{gap:.3g}, stands after {samples} singular value{'s' if samples > 1 else ''}{ending}.")


def cliff(values: Tensor, floor: float) -> int | None:
    """How many values are above the floor, if they end there at once; None where they fade into it or fill the rank."""
    count = int((values > floor).sum())
    return count if 0 < count < len(values) and values[count - 1] > CLIFF * values[count] else None
