"""What was done to the pixels before a transformer saw them, told by its adapter: under the right statistics patches
lie in [0, 1] and are proven.

The equations themselves do not depend on a mean and a deviation, which only stretch what solves them; the box does.
Statistics that squeeze every patch into a part of [0, 1] leave them proven as well where the equations suffice, so of
those that prove as many, the one whose patches reach furthest from dark to light is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from core.models.vision_transformer import VisionTransformer
from core.reconstruction.patches.equations import certified, patch_equations
from core.reconstruction.patches.vertices import VertexSearch
from core.threat.observation import TransformerAdapter

STARTS = 3     # vertices looked for at each place
WIDER = 1.05   # times the range of the next best: clearly further


@dataclass(frozen=True)
class PatchTrial:
    """How one candidate explains the adapter."""

    proven: int      # places with a proven patch
    reach: float     # from the darkest to the lightest pixel of these


def try_statistics(observation: TransformerAdapter, networks: dict[str, VisionTransformer], *,
                   over: Callable[[], bool] = lambda: False) -> dict[str, PatchTrial]:
    """Each of `networks` is the base with one candidate's statistics; once `over`, the others are not tried."""
    trials, found = {}, certified(observation)
    for name, network in networks.items():
        if over():
            break
        search = VertexSearch(patch_equations(replace(observation, network=network), found), seed=0)
        patches = [patch for place in range(len(search.right)) for patch in _proven(search, place)]
        trials[name] = PatchTrial(len(patches), float(max(map(np.max, patches)) - min(map(np.min, patches)))
                                  if patches else 0.0)
    return trials


def best(trials: dict[str, PatchTrial]) -> str | None:
    """The candidate that proves most, and of those the one that reaches furthest; None where none proves anything or
    two are alike."""
    most = max((trial.proven for trial in trials.values()), default=0)
    first, *others = sorted((name for name, trial in trials.items() if trial.proven == most),
                            key=lambda name: -trials[name].reach) or [""]
    clear = most and (not others or trials[first].reach > WIDER * trials[others[0]].reach)
    return first if clear else None


def _proven(search: VertexSearch, place: int) -> list[np.ndarray]:
    if search.free == 0:
        patch, proven = search.solved(place)
        return [patch] if proven else []
    return [vertex.patch for vertex in search.at(place, wanted=1, starts=STARTS)]
