"""Activation patterns of single samples out of a layer's summed update.

The rows of B = sum_i k_i (d_i * g_i) (A h_i)^T lie in N dimensions: with coordinates M [n, N] there is for
each sample a direction q_i with

    M q_i = d_i * g_i,      d_i in {0, 1}^n,

where g_i is the signal before the gate. Null directions of ReLU sparsity, found by chance, separate the
samples in SPEAR (Dimitrov et al. 2024, sec. 4). Here g_i is known (the base is published, and deeper patterns
are recovered first), which is stronger: on N well-conditioned pivot rows, d_i is one of 2^N - 1
binary words, each word fixes q_i, and all other rows vote on it. No sampling, no luck; the cost
grows as 2^N. `null_directions` is the way of SPEAR, for a layer whose g_i is not known.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_SAMPLES = 18     # 2^18 words and 1,000 rows: seconds
SIGMAS = 6.0          # of noise, within which a reading counts as 0 or 1
CHUNK = 1 << 14
PIVOT_SETS = 8
REWEIGHTED = 30       # rounds of the robust directions: each is a decomposition of an n x r matrix
SAME = 0.01           # of the neurons: words that differ in fewer are one word, blurred


@dataclass(frozen=True)
class Coordinates:
    """A layer's update in its N strongest directions, with what rounding and later steps added."""

    M: Tensor         # [n, N]
    V: Tensor         # [r, N], orthonormal: B = M V^T
    noise: Tensor     # [n], standard deviation of each coordinate in a row


def coordinates(B: Tensor, *, samples: int, precision: float, floor: float, robust: bool = False) -> Coordinates:
    """The N strongest directions of B [n, r]; the rest of the spectrum tells the noise.

    `robust`: the directions that most rows lie in, whatever a few rows add (neurons that switched while training
    are as strong as a weak sample, and least squares follows them).
    """
    rounding = precision / 4 * (B.norm(dim=1) / math.sqrt(B.shape[1]) + B.norm() / math.sqrt(B.numel()))
    if robust and samples < min(B.shape):
        V, rest = _of_most_rows(B, samples, (rounding ** 2 + floor ** 2 / len(B)).sqrt() * math.sqrt(B.shape[1]))
        spread = max(float(rest.median()) / math.sqrt(B.shape[1]), floor / math.sqrt(len(B)))
        return Coordinates(B @ V, V, (rounding ** 2 + spread ** 2).sqrt())
    Q, S, Vh = torch.linalg.svd(B, full_matrices=False)
    tail = float(S[samples]) if len(S) > samples else 0.0
    spread = max(tail, floor) / math.sqrt(len(B))
    return Coordinates(Q[:, :samples] * S[:samples], Vh[:samples].T, (rounding ** 2 + spread ** 2).sqrt())


def _of_most_rows(B: Tensor, samples: int, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal V [r, N] that the most rows lie in within `noise` [n], and each row's distance from it.

    Iteratively reweighted least squares: of the distances at first, then of their logarithms, which do not care how
    far off an outlier is.
    """
    noise = noise.clamp(min=1e-300)
    distance = B.norm(dim=1)
    V = torch.zeros(B.shape[1], samples, dtype=B.dtype)
    for step in range(REWEIGHTED):
        power = 0.5 if step < REWEIGHTED // 2 else 1.0
        weighted = B / torch.maximum(distance, noise)[:, None] ** power
        V = torch.linalg.svd(weighted, full_matrices=False).Vh[:samples].T
        distance = (B - (B @ V) @ V.T).norm(dim=1)
    return V, distance


@dataclass(frozen=True)
class Words:
    """Directions q whose readings M q / g are 0 or 1, best first."""

    q: Tensor         # [K, N]
    misfit: Tensor    # [K] in [0, 1]: share of the votes that are neither 0 nor 1
    votes: Tensor     # [K], number of neurons whose reading says anything


def binary_directions(space: Coordinates, g: Tensor, *, pivots: Tensor, keep: int, tolerance: float) -> Words:
    """All 2^N - 1 words on the pivot rows [N], judged by all rows; the `keep` best, fitted to all rows."""
    N = space.M.shape[1]
    inverse = torch.linalg.inv(space.M[pivots])                         # [N, N]
    amplified = 1 + (space.M @ inverse).square().sum(1)                 # of a reading's variance, by the pivots
    best: list[Words] = []
    for first in range(1, 2 ** N, CHUNK):
        numbers = torch.arange(first, min(first + CHUNK, 2 ** N))
        bits = (numbers[:, None] >> torch.arange(N)) & 1
        q = (bits * g[pivots]) @ inverse.T                              # [C, N]
        best.append(_judge(space, g, q, amplified, keep, tolerance))
    words = _best(best, keep)
    # Fitted to all rows a direction no longer carries the errors of its pivots.
    one = torch.ones_like(amplified)
    return _best([words, _judge(space, g, _fitted(space, g, words.q), one, keep, tolerance)], keep)


def _fitted(space: Coordinates, g: Tensor, q: Tensor) -> Tensor:
    """Least squares of M q = round(M q / g) g over all rows with a finite g, for each q [K, N]."""
    weight = torch.where(g.isfinite(), 1 / space.noise.clamp(min=1e-300), 0.0)
    bits = ((q @ space.M.T) / g).round().clamp(0, 1)
    right = torch.where(g.isfinite(), bits * g, 0.0) * weight
    return torch.linalg.lstsq(space.M * weight[:, None], right.T, driver="gelsd").solution.T


def _best(parts: list[Words], keep: int) -> Words:
    q, misfit, votes = (torch.cat([getattr(part, name) for part in parts]) for name in ("q", "misfit", "votes"))
    order = misfit.argsort()[:keep]
    return Words(q[order], misfit[order], votes[order])


def search_words(space: Coordinates, g: Tensor, *, weight: Tensor, keep: int, enough: int, tolerance: float,
                 most: float) -> Words:
    """Words from several sets of pivots: a pivot that switched during training, or drowned, spoils its set.

    Until `enough` independent directions have a misfit below `most`; the first set is the best-read one, the
    others are the best of random halves.
    """
    generator = torch.Generator().manual_seed(0)
    N = space.M.shape[1]
    found: list[Words] = []
    for attempt in range(max(1, min(PIVOT_SETS, 2 ** (MOST_SAMPLES - N)))):
        half = torch.rand(len(g), generator=generator, dtype=torch.float64) < 0.5
        pivots = pivot_rows(space, weight if attempt == 0 else weight * half)
        if pivots is not None:
            found.append(binary_directions(space, g, pivots=pivots, keep=keep, tolerance=tolerance))
        if found and len(independent(space, g, _best(found, keep * len(found)), enough, most=most)) == enough:
            break
    return _best(found, keep * max(1, len(found))) if found else Words(*torch.zeros(3, 0, N, dtype=torch.float64))


def _judge(space: Coordinates, g: Tensor, q: Tensor, amplified: Tensor, keep: int, tolerance: float) -> Words:
    readings = (q @ space.M.T) / g                                      # [C, n]
    spread = q.norm(dim=1, keepdim=True) * space.noise * amplified.sqrt() / g.abs()
    voting = spread * SIGMAS < 0.25
    distance = torch.minimum(readings.abs(), (readings - 1).abs())
    wrong = ((distance / (SIGMAS * spread).clamp(min=tolerance)).square().clamp(max=1) * voting).sum(1)
    ones = ((readings > 0.5) & voting).sum(1)
    count = voting.sum(1)
    misfit = torch.where((count >= max(8, q.shape[1])) & (ones > 0), wrong / count.clamp(min=1), 1.0)
    order = misfit.argsort()[:keep]
    return Words(q[order], misfit[order], count[order])


def pivot_rows(space: Coordinates, weight: Tensor) -> Tensor | None:
    """N rows of M that are well conditioned and well read: pivoted Gram-Schmidt on M weighted by [n].

    None where no N rows are independent.
    """
    left = space.M * (weight / space.noise.clamp(min=1e-300))[:, None]
    rounding = 1e-13 * float(left.norm(dim=1).max())
    chosen = []
    for _ in range(space.M.shape[1]):
        row = int(left.square().sum(1).argmax())
        if row in chosen or float(left[row].norm()) <= rounding:
            return None
        chosen.append(row)
        direction = left[row] / left[row].norm().clamp(min=1e-300)
        left = left - (left @ direction)[:, None] * direction
    return torch.tensor(chosen)


def independent(space: Coordinates, g: Tensor, words: Words, count: int, *, most: float) -> Tensor:
    """Indices of the first `count` different, linearly independent words with misfit below `most`; else fewer.

    Different: noise and pivots blur a direction, so words are told apart by their neurons.
    """
    chosen: list[int] = []
    bits = ((words.q @ space.M.T) / g).round().clamp(0, 1)
    basis = torch.zeros(0, words.q.shape[1], dtype=words.q.dtype)
    for index in range(len(words.q)):
        if words.misfit[index] > most or len(chosen) == count:
            break
        if any(float((bits[index] != bits[other]).double().mean()) < SAME for other in chosen):
            continue
        q = words.q[index] / words.q[index].norm()
        rest = q - basis.T @ (basis @ q)
        if rest.norm() > 1e-6:
            chosen.append(index)
            basis = torch.cat([basis, (rest / rest.norm())[None]])
    return torch.tensor(chosen, dtype=torch.long)
