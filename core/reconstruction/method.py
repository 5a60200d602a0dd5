"""What a method of attack is: one file in the folder ``methods``, which says all that forms, commands, search and
reports ask of it.

These files load no torch, so that a page which only reads runs does not wait for it: a method imports its engine when
it runs. Its ``METHOD`` is found by `core.reconstruction.registry`; nothing else names it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.config.attack import AttackKnobs
from core.io.errors import InputError

if TYPE_CHECKING:
    from core.config.monitor import Monitor
    from core.reconstruction.result import AttackResult
    from core.threat.observation import Observation

# Kinds of an observation.
ADAPTER, WEIGHT_CHANGE, TRAINED_WEIGHTS = "adapter", "weight change", "trained weights"
TRANSFORMER_ADAPTER = "transformer adapter"
UPDATES = frozenset({ADAPTER, WEIGHT_CHANGE})


@dataclass(frozen=True)
class Answer:
    """Whether a method suits an observation, in a sentence that ends with a full stop.

    `prepared` is what was computed to find out, handed to the method's `run` so that it is not computed twice.
    """

    suits: bool
    reason: str
    prepared: Any = None


@dataclass(frozen=True)
class Method:
    """One attack.

    `run` (observation, config, monitor, *, began, prepared) gives an `AttackResult`; `began`, of ``time.monotonic``, is
    when the run began, from where its time limit counts. `suits` is asked by ``--method auto``, in the `order` of the
    methods, only of observations that the method accepts.
    """

    name: str                     # on the command line and in stored configs
    title: str                    # as people say it
    note: str                     # one sentence for whoever chooses
    accepts: frozenset[str]       # kinds of observation
    needs: str                    # what to do where it is given another one; follows "method: name"
    knobs: type[AttackKnobs]      # its own and the groups that count for it
    run: "Callable[..., AttackResult]"
    suits: "Callable[[Any], Answer]"
    order: int                    # 0 is asked first
    searches: bool                # steps and restarts, with knobs that may be changed on the way; else it solves
    explains_weights: bool        # its coefficients multiply features of the weights, else of an update
    uses_coefficients: bool = False             # an oracle's fine-tuning coefficients make a difference
    empty: Mapping[str, float] = field(default_factory=dict)  # what an empty knob stands for

    def attack(self, observation: "Observation", config: AttackKnobs, monitor: "Monitor", *, began: float,
               prepared: Any = None) -> "AttackResult":
        """Run it; raises `InputError` where it does not take what was released."""
        if observation.kind not in self.accepts:
            raise InputError(f"method: {self.name} {self.needs}")
        return replace(self.run(observation, config, monitor, began=began, prepared=prepared), method=self.name)
