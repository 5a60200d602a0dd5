"""KKT reconstruction (Haim et al. 2022): trained weights as a sum of their own features."""

from typing import TYPE_CHECKING, Any

from core.reconstruction.kkt.knobs import ALPHAS, BOX, KKTKnobs
from core.reconstruction.method import TRAINED_WEIGHTS, UPDATES, Answer, Method

if TYPE_CHECKING:
    from core.config.monitor import Monitor
    from core.reconstruction.result import AttackResult
    from core.threat.observation import Observation, Trained


def run(observation: "Trained", config: KKTKnobs, monitor: "Monitor", *, began: float,
        prepared: Any = None) -> "AttackResult":
    """`core.reconstruction.kkt.attack`."""
    from core.reconstruction.kkt.attack import attack

    return attack(observation, config, monitor, began=began)


def suits(observation: "Observation") -> Answer:
    """What an update alone explains better is left to other methods."""
    alone = observation.kind == TRAINED_WEIGHTS
    return Answer(alone, "Trained weights alone were released: at stationarity they are a sum of the samples' features."
                  if alone else "There is an update, which says more than the weights that it made.")


METHOD = Method(
    name="kkt", title="KKT", note="Training samples out of the trained weights alone.",
    accepts=UPDATES | {TRAINED_WEIGHTS}, needs="takes any network and its update.", knobs=KKTKnobs, run=run,
    suits=suits, order=2, searches=True, explains_weights=True,
    empty={"relu_alpha_start": ALPHAS[0], "relu_alpha_end": ALPHAS[1], "box_weight": BOX})
