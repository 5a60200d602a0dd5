"""Which attack suits an observation, and why: what ``--method auto`` does."""

from core.attacks import ntk
from core.runs.config import AttackConfig
from core.threat.observation import Observation, TrainedWeights


def choose(observation: Observation, config: AttackConfig) -> tuple[str, str]:
    """Name of the method, and the reason in one sentence."""
    if isinstance(observation, TrainedWeights):
        return "kkt", "Trained weights alone were released: at stationarity they are a sum of the samples' features."
    return "ntk", ntk.reason(observation)
