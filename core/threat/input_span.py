"""What a trained first layer carries: the span of its training inputs, above the noise of its initialisation.

Gradient descent changes [W_0 | b_0] by sums of e_i [h_i; 1]^T alone. From a random start of small scale the N
samples are singular values that stand out of a bulk, whose edge is known: for an m x n matrix of independent
entries of deviation s, the square of its largest singular value is about s^2 (mu + sigma t) with mu and sigma of
Johnstone 2001 and t of Tracy and Widom's law. The scale s is not known and is read off the bulk itself, from its
median under the Marchenko-Pastur law (as Gavish and Donoho 2014 do).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.threat.spectrum import ROUNDING
from core.threat.update import STORED

RARE = 4.0  # Tracy and Widom's t has mean -1.2 and deviation 1.3: above 4 in less than one layer of 10,000


@dataclass(frozen=True)
class InputSpan:
    """N of the samples that the layer shows, and an orthonormal basis [D, K] of their centred inputs, float64."""

    samples: int
    basis: Tensor
    explanation: str


def input_span(weight: Tensor, bias: Tensor | None) -> InputSpan | None:
    """Of a first layer's weight [n_out, D] and bias [n_out]; None where nothing stands out of the bulk."""
    weight = weight.detach().cpu().double()
    joined = weight if bias is None else torch.cat([weight, bias.detach().cpu().double()[:, None]], dim=1)
    # The constant input 1 beside the pixels: inputs that sum to zero (their mean was subtracted) lose one dimension
    # among the pixels alone, and N would come out one too small.
    values = torch.linalg.svdvals(joined)
    # Weight decay may shrink the initialisation below the rounding of the stored weights, which then is the noise.
    eps = next(torch.finfo(dtype).eps for dtype in STORED if torch.equal(joined.to(dtype).double(), joined))
    rounding = ROUNDING * eps * float(values[0])
    samples, edge = _outliers(values, *joined.shape, least=rounding)
    _, S, Vh = torch.linalg.svd(weight, full_matrices=False)
    inside, _ = _outliers(S, *weight.shape, least=rounding)
    if samples == 0 or inside == 0:
        return None
    after = float(values[samples]) if samples < len(values) else 0.0
    return InputSpan(samples, Vh[:inside].T.contiguous(), f"N = {samples} from the first layer: so many singular "
                     f"values stand above {edge:.2g}, where the noise of initialisation and rounding ends (the next "
                     f"one is {after:.2g}); samples that left less than that are not counted.")


def _outliers(values: Tensor, rows: int, columns: int, *, least: float) -> tuple[int, float]:
    """How many singular values, largest first, stand above the bulk, and its edge, `least` at least."""
    count, smaller = 0, min(rows, columns)
    while True:
        # Without the outliers a smaller noise matrix is left; its median gives the scale, and that the next edge.
        m, n = rows - count, columns - count
        if count >= smaller - 1:
            return smaller, float(values[-1])
        mu = (m**0.5 + n**0.5) ** 2
        sigma = (m**0.5 + n**0.5) * (m**-0.5 + n**-0.5) ** (1 / 3)
        edge = max(least, float(values[count:].median()) / _median(m, n) * (mu + RARE * sigma) ** 0.5)
        found = int((values > edge).sum())
        if found <= count:
            return count, edge
        count = found


def _median(rows: int, columns: int) -> float:
    """Median singular value of a rows x columns matrix of unit noise, by the Marchenko-Pastur law."""
    low, high = (rows**0.5 - columns**0.5) ** 2, (rows**0.5 + columns**0.5) ** 2
    # x = square of a singular value; sampled as low + (high - low) sin^2, which removes the ends' singularities
    angle = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000 * torch.pi / 2
    x = low + (high - low) * angle.sin().square()
    mass = (((x - low) * (high - x)).clamp(min=0).sqrt() / x * (2 * angle).sin()).cumsum(0)
    return float(x[int((mass < mass[-1] / 2).sum())].sqrt())
