"""Configs of runs whose knobs may be changed while they run; which ones is declared with the knob (``live``)."""

from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from core.config.knob import RunConfig, facts, knob
from core.config.knob_change import Change
from core.io.errors import InputError


class Tunable(RunConfig):
    """A config with changes in the middle of the run, all within the bounds of its knobs."""

    changes: list[Change] | None = knob(
        None, help="Knobs that take another value in the middle of the run, written STEP:KNOB=VALUE. A repeat of a run "
        "whose knobs were changed by hand has them here, and so comes to the same images.", group="expert")

    @field_validator("changes")
    @classmethod
    def _in_bounds(cls, changes: list[Change] | None) -> list[Change] | None:
        for change in changes or []:
            try:
                check_value(cls, change.knob, change.value)
            except InputError as error:
                raise PydanticCustomError("change", "{sentence}", {"sentence": str(error).rstrip(".")}) from error
        return changes


def live_knobs(model: type[RunConfig]) -> list[str]:
    """Names of the knobs that may be changed while a run goes on."""
    return [name for name, field in model.model_fields.items() if facts(field).get("live")]


def check_value(model: type[RunConfig], name: str, value: Any) -> float:
    """The value for a change of that knob; raises `InputError` outside the knob's own bounds."""
    if name not in live_knobs(model):
        raise InputError(f"{name}: it cannot be changed while a run goes on; {', '.join(live_knobs(model))} can.")
    bounds = model.model_fields[name].metadata
    try:
        return Change(step=0, knob=name, value=TypeAdapter(Annotated[(float, *bounds)]).validate_python(value)).value
    except ValidationError as error:
        raise InputError(f"{name}: {error.errors()[0]['msg']}.") from error
