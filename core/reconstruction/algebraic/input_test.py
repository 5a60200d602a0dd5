"""What was done to the pixels, told by the facts of an update: under a wrong mean an image explains them worse.

Activation patterns do not depend on it, but the pre-activations W0 (x - mean) / std + b of an image do, and so do the
box and the measurements. Each candidate preprocessing gets the image of one sample (the strongest) under its own
equations and signs; judged are the violated signs, the misfit of the measurements, and how many pixels lie strictly
inside the box: the right one leaves most of them at its edge. Measured on digits (N = 1): at rank 64 the right one of
four came first, and pixels that were not subtracted from were excluded where they should be; at rank 8 a wrong one may
explain as much, which is then said.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from core.models.mlp import MLP
from core.reconstruction.algebraic.attack import SIGN_WEIGHT
from core.reconstruction.algebraic.recovery import Prior, recover
from core.reconstruction.algebraic.separation import Separation
from core.reconstruction.algebraic.system import build_system
from core.reconstruction.algebraic.updates import layer_updates
from core.threat.observation import Update

BROKEN_SIGNS = 1.0   # sum of the violations: an image that breaks more is none
MISFIT = 0.005       # relative, of the measurements
CLEAR = 0.85         # of the next best's score: below it, a candidate is the answer


@dataclass(frozen=True)
class Trial:
    """How well one candidate explains the strongest sample."""

    slack: float
    residual: float
    free: int        # pixels strictly inside the box
    collapsed: bool

    @property
    def excluded(self) -> bool:
        return self.collapsed or self.slack > BROKEN_SIGNS or self.residual > MISFIT

    @property
    def score(self) -> float:
        """Small is good."""
        return (self.residual + 1e-6) * (self.free + 1)


@dataclass(frozen=True)
class Verdict:
    """The candidate that the facts prefer, whether they decide, and the trials."""

    chosen: str
    decided: bool
    trials: dict[str, Trial]


def try_inputs(observation: Update, separation: Separation, networks: dict[str, MLP], *,
               default: str, over: Callable[[], bool] = lambda: False) -> Verdict:
    """Each of `networks` is the base with one candidate's statistics; `default` is kept where nothing else is clear.

    Once `over`, nothing is decided.
    """
    trials: dict[str, Trial] = {}
    for name, network in networks.items():
        if over():
            return Verdict(default, False, trials)
        updates = layer_updates(replace(observation, network=network))
        system = build_system(network, updates, separation, 0)
        found = recover(system, _prior(network), shape=network.image_shape, should_stop=over)
        trials[name] = Trial(found.slack, found.residual, found.free, found.collapsed)
    return verdict(trials, default=default)


def verdict(trials: dict[str, Trial], *, default: str) -> Verdict:
    """The best of those that are not excluded; the default where it is not excluded and no other is clearly better."""
    left = sorted((name for name in trials if not trials[name].excluded), key=lambda name: trials[name].score)
    if not left:
        return Verdict(default, False, trials)
    best = left[0]
    clear = len(left) == 1 or trials[best].score < CLEAR * trials[left[1]].score
    return Verdict(best if clear or default not in left else default, clear, trials)


def _prior(network: MLP) -> Prior:
    pixels = network.input_mean.double().flatten()
    return Prior(pixels.new_ones(pixels.shape), 1.0, None, SIGN_WEIGHT)
