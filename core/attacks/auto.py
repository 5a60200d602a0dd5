"""Which attack suits an observation, and why: what ``--method auto`` does."""

from core.attacks import ntk
from core.runs.config import AttackConfig
from core.threat.observation import AdapterDelta


def choose(observation: AdapterDelta, config: AttackConfig) -> tuple[str, str]:
    """Name of the method, and the reason in one sentence."""
    return "ntk", ntk.REASON
