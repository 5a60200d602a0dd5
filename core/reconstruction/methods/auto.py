"""Which attack suits an observation, and why: what ``--method auto`` does."""

from dataclasses import dataclass, replace

from core.config.kinds import AttackConfig
from core.config.monitor import Monitor
from core.reconstruction.algebraic import attack as algebraic
from core.reconstruction.algebraic.attack import Found, find_samples
from core.reconstruction.algebraic.separation import separable
from core.reconstruction.algebraic.updates import layer_updates
from core.reconstruction.kkt import attack as kkt
from core.reconstruction.ntk import attack as ntk
from core.reconstruction.result import Outcome
from core.threat.observation import Observation, TrainedWeights


@dataclass(frozen=True)
class Choice:
    """Name of the method, the reason in one sentence, and the separation that was tried on the way."""

    method: str
    reason: str
    found: Found | None = None


def choose(observation: Observation) -> Choice:
    """The method that suits what was released. Separating takes seconds, so it is tried rather than guessed."""
    if isinstance(observation, TrainedWeights):
        return Choice("kkt", "Trained weights alone were released: at stationarity they are a sum of the samples' "
                      "features.")
    updates = layer_updates(observation)
    if why := separable(observation.network, updates):
        return Choice("ntk", f"{why} Gradient matching asks for less.")
    found = find_samples(observation)
    if found.separation is None:
        return Choice("ntk", "The update does not come apart into activation patterns of single samples, so it is "
                      "explained as a sum of tangent features instead.")
    return Choice("algebraic", f"The update comes apart into the activation patterns of {found.separation.samples} "
                  "samples, so that each image follows from its own equations and signs.", found)


def attack(observation: Observation, config: AttackConfig, monitor: Monitor, *, began: float) -> Outcome:
    """Choose, say why, and attack."""
    choice = choose(observation)
    monitor.log(f"Method {choice.method}. {choice.reason}")
    if choice.method == "algebraic":
        outcome = algebraic.attack(observation, config, monitor, began=began, found=choice.found)
    else:
        outcome = {"ntk": ntk, "kkt": kkt}[choice.method].attack(observation, config, monitor, began=began)
    return replace(outcome, reason=choice.reason)
