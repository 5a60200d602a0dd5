"""Which attack suits an observation, and why: what ``--method auto`` does."""

from core.attacks.algebraic import find_samples
from core.runs.config import AttackConfig
from core.solvers.algebraic.separation import separable
from core.solvers.algebraic.updates import layer_updates
from core.threat.observation import Observation, TrainedWeights


def choose(observation: Observation, config: AttackConfig) -> tuple[str, str]:
    """Name of the method, and the reason in one sentence. Separating costs a second at most, so it is tried."""
    if isinstance(observation, TrainedWeights):
        return "kkt", "Trained weights alone were released: at stationarity they are a sum of the samples' features."
    updates = layer_updates(observation)
    if why := separable(observation.network, updates):
        return "ntk", f"{why} Gradient matching asks for less."
    separation, _ = find_samples(observation)
    if separation is None:
        return "ntk", ("The update does not come apart into activation patterns of single samples, so it is explained "
                       "as a sum of tangent features instead.")
    return "algebraic", (f"The update comes apart into the activation patterns of {len(separation.layers[0].on)} "
                         "samples, so that each image follows from its own equations and signs.")
