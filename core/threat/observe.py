"""From a victim to what an adversary sees: the one place that touches both."""

from dataclasses import dataclass

from torch import Tensor

from core.artifacts.factors import Factors
from core.data.catalogue import DEFAULT
from core.io.errors import InputError
from core.models.mlp import MLP
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, WeightDelta
from core.threat.update import weight_delta


@dataclass(frozen=True)
class Victim:
    """A fine-tuned model with its secrets. Never handed to an objective or a solver."""

    network: MLP                 # the base
    layers: dict[str, Factors]   # of the adapter; {} after full fine-tuning
    x: Tensor              # [N, C, H, W] in [0, 1], the private samples
    labels: Tensor         # [N] in {0, 1}
    coefficients: Tensor   # [N], sum over steps of -lr dL/df_i
    learning_rate: float
    steps: int
    tuned: MLP | None = None   # after full fine-tuning, the network itself
    problem: str = DEFAULT     # what its labels mean: a name of `core.data.catalogue`


def observe(victim: Victim, level: str) -> AdapterDelta | WeightDelta:
    """What the adversary of a named level gets: released files, and knowledge by level."""
    if level == "released-only":
        threat = ThreatModel()
    elif level in ("informed", "oracle"):
        threat = ThreatModel(samples=len(victim.labels), labels=victim.labels.clone(), steps=victim.steps,
                             learning_rate=victim.learning_rate,
                             coefficients=victim.coefficients.clone() if level == "oracle" else None)
    else:
        raise InputError(f"threat: {level!r} is not a threat level; choose oracle, informed or released-only.")
    if victim.tuned is not None:
        return weight_delta(victim.network, victim.tuned, threat)
    return AdapterDelta(victim.network, victim.layers, threat)
