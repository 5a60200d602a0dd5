"""An attack's plan and penalties, which change in the middle of the run where people change its knobs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.config.attack import AttackKnobs
from core.config.knob_change import Change
from core.config.monitor import Monitor
from core.reconstruction.priors.penalties import Penalty
from core.reconstruction.solvers.plan import Plan


@dataclass(frozen=True)
class Setting:
    """What a config comes to for a first-order search; `knobs` are those that may be changed, with their values."""

    plan: Plan
    penalties: list[Penalty]
    knobs: dict[str, float]


class Tuning:
    """Asked by `core.reconstruction.solvers.solve` at each step. `make` turns a config into its setting.

    A change makes the setting that the run would have had with that value from its start: nothing of it depends on
    when the process was stopped, and a config with the same `changes` repeats the run.
    """

    def __init__(self, config: AttackKnobs, monitor: Monitor, make: Callable[[Any], Setting]) -> None:
        self._config, self._monitor, self._make = config, monitor, make
        self.setting = make(config)
        self._values: dict[str, float] = {}
        monitor.offer(self.setting.knobs)

    def __call__(self, step: int) -> tuple[Plan, list[Penalty]] | None:
        """Another plan and other penalties from this step on, or None."""
        values = in_force([*(self._config.changes or []), *self._monitor.changes(step)], step)
        if values == self._values:
            return None
        self._values = values
        self.setting = self._make(self._config.model_copy(update=values))
        self._monitor.offer(self.setting.knobs)
        return self.setting.plan, self.setting.penalties


def in_force(changes: list[Change], step: int) -> dict[str, float]:
    """The changed knobs at `step`; of several changes at one step the last of the list counts."""
    made = sorted((change for change in changes if change.step <= step), key=lambda change: change.step)
    return {change.knob: change.value for change in made}
