"""The algebraic attack: activation patterns separate the samples, and the rest of each is linear."""

from typing import TYPE_CHECKING, Any

from core.reconstruction.algebraic.knobs import AlgebraicKnobs
from core.reconstruction.method import UPDATES, Answer, Method

if TYPE_CHECKING:
    from core.config.monitor import Monitor
    from core.reconstruction.result import AttackResult
    from core.threat.observation import Update


def run(observation: "Update", config: AlgebraicKnobs, monitor: "Monitor", *, began: float,
        prepared: Any = None) -> "AttackResult":
    """`core.reconstruction.algebraic.attack`; `prepared` is a separation that was made before."""
    from core.reconstruction.algebraic.attack import attack

    return attack(observation, config, monitor, began=began, found=prepared)


def suits(observation: "Update") -> Answer:
    """Separating takes seconds, so it is tried rather than guessed."""
    from core.reconstruction.algebraic.attack import find_samples
    from core.reconstruction.algebraic.separation import separable
    from core.reconstruction.algebraic.updates import layer_updates

    if why := separable(observation.network, layer_updates(observation)):
        return Answer(False, why)
    found = find_samples(observation)
    if found.separation is None:
        return Answer(False, "The update does not come apart into activation patterns of single samples.")
    return Answer(True, f"The update comes apart into the activation patterns of {found.separation.samples} samples, "
                  "so that each image follows from its own equations and signs.", found)


METHOD = Method(
    name="algebraic", title="Algebraic", note="Patterns, equations and signs of each sample: solved, not searched.",
    accepts=UPDATES, needs="takes the update of a fine-tuning apart; name an adapter folder (adapter) or a fine-tuned "
    "checkpoint (tuned), or choose kkt for trained weights alone.",
    knobs=AlgebraicKnobs, run=run, suits=suits, order=0, searches=False, explains_weights=False)
