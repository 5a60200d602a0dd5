"""A knob that takes another value in the middle of a run."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

WRITTEN = re.compile(r"\s*(\d+)\s*:\s*(\w+)\s*=\s*(\S+)\s*")


class Change(BaseModel):
    """From `step` on, `knob` has `value`: schedules go on as if the run had had it from its start.

    People write it ``600:lr_x=0.01``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    step: int = Field(ge=0)
    knob: str
    value: float

    @model_validator(mode="before")
    @classmethod
    def _written(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        parts = WRITTEN.fullmatch(given)
        if parts is None:
            raise PydanticCustomError("change", "Write a change as STEP:KNOB=VALUE, for example 600:lr_x=0.01")
        return dict(zip(("step", "knob", "value"), parts.groups(), strict=True))

    def __str__(self) -> str:
        return f"{self.step}:{self.knob}={self.value!r}"
