"""Plot data of how a positive number is spread over the candidates of an attack."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 24
DECADE = 10.0  # values that span more than this stand on a log axis
FEWEST = 5     # fewer are told apart by their curves


@dataclass(frozen=True)
class Distribution:
    """One histogram: `counts` [n] between `edges` [n + 1]; `floor` is what a bound holds the smallest at."""

    key: str
    title: str
    x_title: str
    edges: list[float]
    counts: list[int]
    floor: float | None
    help: str

    @property
    def log_x(self) -> bool:
        return self.edges[0] > 0 and self.edges[-1] > DECADE * self.edges[0]


def multipliers(values: Sequence[float], *, floor: float | None = None) -> Distribution | None:
    """Of the sizes of Lagrange multipliers, zeros left out; None where there are too few to speak of a distribution."""
    sizes = np.abs(np.array(values, dtype=float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if len(sizes) < FEWEST:
        return None
    low, high = float(sizes.min()), float(sizes.max())
    if high <= low * (1 + 1e-9):
        low, high = low * 0.9, high * 1.1
    edges = np.geomspace(low, high, BINS + 1) if high > DECADE * low else np.linspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, high  # rounding must not lose the ends
    counts, _ = np.histogram(sizes, edges)
    return Distribution(
        "multipliers", "Distribution of λ", "λ of a candidate", edges.tolist(), counts.tolist(), floor,
        "How many candidates of the leading restart have a multiplier of that size. Those at the floor explain "
        "nothing: the attack would drop them.")
