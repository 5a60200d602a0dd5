"""How long and how fast a first-order search goes: its schedules, as functions of the step."""

import math
from dataclasses import dataclass

HALVE_AT = (1 / 8, 1 / 4, 1 / 2)  # of the iterations: 16 restarts then cost as much as 5 to the end


@dataclass(frozen=True)
class Plan:
    """How long and how fast to search."""

    iterations: int
    lr_x: float
    lr_lam: float                  # of log(lam), or of lam itself: see lambda_space
    lr_schedule: str               # cosine (to 0) or constant
    record_every: int
    relu_alpha_start: float | None = None  # of an objective with a surrogate; None elsewhere
    relu_alpha_end: float | None = None
    fixed_lam: bool = False        # oracle: the coefficients are known
    tolerance: float = 0.0         # of the exact residual
    max_seconds: float = math.inf
    lambda_space: str = "log"      # log: lam > 0 by exp; linear: lam itself, of any sign (Haim et al. 2022)
    halving: bool = False          # successive halving of the restarts, at `HALVE_AT`

    def annealed(self, step: int) -> dict[str, float]:
        """What an objective's `evaluate` is given beside the candidate, by name.

        ``relu_alpha`` rises geometrically: a soft surrogate finds the basin, a sharp one is the true network. Constant
        where both ends are alike; infinity is the exact ReLU.
        """
        start, end = self.relu_alpha_start, self.relu_alpha_end
        if start is None or end is None:
            return {}
        return {"relu_alpha": start if start == end else start * (end / start) ** (step / self.iterations)}

    def halvings(self, step: int) -> int:
        """How often the restarts should have been halved once `step` begins."""
        return sum(step >= max(1, share * self.iterations) for share in HALVE_AT) if self.halving else 0

    def rate(self, step: int) -> float:
        """The share of both learning rates at `step`."""
        return 0.5 * (1 + math.cos(math.pi * step / self.iterations)) if self.lr_schedule == "cosine" else 1.0
