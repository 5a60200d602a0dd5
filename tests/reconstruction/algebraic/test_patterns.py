"""A matrix M whose rows are binary combinations by construction: the words are known."""

import pytest
import torch

from core.reconstruction.algebraic.patterns import (
    Coordinates,
    Words,
    binary_directions,
    coordinates,
    independent,
    pivot_rows,
    search_words,
)

NEURONS = 60


def mixed(samples: int, *, noise: float = 0.0) -> tuple[Coordinates, torch.Tensor, torch.Tensor]:
    """M [n, N] with M q_i = d_i g, with d [N, n] and g [n]."""
    generator = torch.Generator().manual_seed(samples)
    d = (torch.rand(samples, NEURONS, generator=generator) < 0.5).double()
    g = torch.randn(NEURONS, generator=generator, dtype=torch.float64)
    mixing = torch.randn(samples, samples, generator=generator, dtype=torch.float64)
    M = (d * g).T @ mixing
    M = M + noise * torch.randn(M.shape, generator=generator, dtype=torch.float64)
    return Coordinates(M, torch.eye(samples).double(), torch.full((NEURONS,), max(noise, 1e-12)).double()), d, g


def test_coordinates_keep_the_strongest_directions_and_tell_the_noise():
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(NEURONS, 3, generator=generator, dtype=torch.float64) @ torch.randn(
        3, 20, generator=generator, dtype=torch.float64)
    clean = coordinates(signal, samples=3, precision=0.0, floor=0.0)
    assert torch.allclose(clean.M @ clean.V.T, signal, atol=1e-12)
    assert float(clean.noise.max()) < 1e-13
    for spread in (1e-6, 1e-3):
        noisy = signal + spread * torch.randn(signal.shape, generator=generator, dtype=torch.float64)
        told = coordinates(noisy, samples=3, precision=0.0, floor=0.0).noise
        assert 0.5 * spread < float(told.min()) <= float(told.max()) < 3 * spread
    rounded = signal.bfloat16().double()
    actual = (rounded - signal).norm() / signal.numel() ** 0.5
    told = coordinates(rounded, samples=3, precision=torch.finfo(torch.bfloat16).eps, floor=0.0).noise
    assert 0.3 < float(told.mean() / actual) < 3


def test_robust_coordinates_do_not_follow_rows_that_switched():
    """A second sample 100 times weaker, and a tenth of the rows with something else that is stronger than it."""
    generator = torch.Generator().manual_seed(0)
    gates = (torch.rand(NEURONS, 2, generator=generator) < 0.5).double()
    directions = torch.linalg.qr(torch.randn(6, 3, generator=generator, dtype=torch.float64))[0].T
    B = gates * torch.tensor([1.0, 0.01]) @ directions[:2]
    B[:NEURONS // 10] += 0.1 * torch.randn(NEURONS // 10, 1, generator=generator, dtype=torch.float64) * directions[2]

    def missed(robust: bool) -> float:
        V = coordinates(B, samples=2, precision=1e-12, floor=0.0, robust=robust).V
        return float((directions[1] - V @ (V.T @ directions[1])).norm())

    assert missed(robust=True) < 1e-9
    assert missed(robust=False) > 0.5


@pytest.mark.parametrize("noise", [0.0, 1e-4])
@pytest.mark.parametrize("samples", [1, 2, 4, 6])
def test_the_words_are_the_patterns(samples, noise):
    space, d, g = mixed(samples, noise=noise)
    pivots = pivot_rows(space, torch.ones(NEURONS, dtype=torch.float64))
    assert len(set(pivots.tolist())) == samples
    words = binary_directions(space, g, pivots=pivots, keep=8 * samples, tolerance=0.03)
    chosen = independent(space, g, words, samples, most=0.2)
    assert len(chosen) == samples
    read = (words.q[chosen] @ space.M.T) / g
    found = {tuple(row) for row in read.round().int().tolist()}
    assert found == {tuple(row) for row in d.int().tolist()}
    assert float((read - read.round()).abs().median()) < 30 * noise + 1e-9


def test_a_pivot_that_was_flipped_spoils_one_set_and_not_the_search():
    space, d, g = mixed(3)
    first = pivot_rows(space, torch.ones(NEURONS, dtype=torch.float64))
    space.M[first[0]] *= 1.37                                       # fits no word any more
    one = binary_directions(space, g, pivots=first, keep=24, tolerance=0.03)
    assert len(independent(space, g, one, 3, most=0.05)) < 3
    words = search_words(space, g, weight=torch.ones(NEURONS, dtype=torch.float64), keep=24, enough=3, tolerance=0.03,
                         most=0.05)
    chosen = independent(space, g, words, 3, most=0.05)
    read = ((words.q[chosen] @ space.M.T) / g).round().int()
    keep = torch.arange(NEURONS) != first[0]
    assert {tuple(row) for row in read[:, keep].tolist()} == {tuple(row) for row in d.int()[:, keep].tolist()}


def test_dependent_rows_give_no_pivots():
    space, _, _ = mixed(2)
    flat = Coordinates(space.M[:, :1] @ torch.ones(1, 2, dtype=torch.float64), space.V, space.noise)
    assert pivot_rows(Coordinates(torch.zeros_like(space.M), space.V, space.noise),
                      torch.ones(NEURONS, dtype=torch.float64)) is None
    words = search_words(flat, torch.ones(NEURONS, dtype=torch.float64), weight=torch.ones(NEURONS).double(), keep=16,
                         enough=2, tolerance=0.03, most=0.2)
    assert len(independent(flat, torch.ones(NEURONS, dtype=torch.float64), words, 2, most=0.2)) < 2


def test_blurred_copies_and_sums_of_words_do_not_count_as_others():
    space, d, g = mixed(2)
    q = torch.linalg.lstsq(space.M, (d * g).T).solution.T           # [2, 2], the true directions
    words = Words(torch.stack([q[0], q[0] * (1 + 1e-9), q[1], q[0] + q[1]]),
                  torch.tensor([0.0, 0.0, 0.01, 0.02]).double(), torch.full((4,), NEURONS))
    assert independent(space, g, words, 3, most=0.2).tolist() == [0, 2]
    assert independent(space, g, words, 2, most=0.005).tolist() == [0]
