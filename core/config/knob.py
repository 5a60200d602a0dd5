"""What every config model is made of: a declared knob, and what all kinds of run share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


def knob(default: Any = ..., *, help: str, unit: str = "", scale: str = "linear", group: str = "basic",
         source: str = "", search: tuple[float, float] | None = None, live: bool = False, suggested: Sequence[str] = (),
         **bounds: Any) -> Any:
    """A pydantic field with the facts that a form shows. ``bounds`` are pydantic's (ge, le, …).

    `search` is the range in which a search tries values, narrower than the bounds of what is valid. A `live` knob may
    be changed while the run goes on (see `core.config.tunable`). `suggested` are names to choose from where any name
    may be given.
    """
    extra: dict[str, Any] = {"unit": unit, "scale": scale, "group": group, "source": source, "live": live,
             **({"search": list(search)} if search else {}), **({"suggested": [*suggested]} if suggested else {})}
    return Field(default, description=help, json_schema_extra=extra, **bounds)


def facts(field: FieldInfo) -> dict[str, Any]:
    """What `knob` adds to a field: unit, scale, group, source, live, and for some search."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


class RunConfig(BaseModel):
    """What all kinds of run share. Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if TYPE_CHECKING:
        kind: str  # each has its own, as a Literal

    name: str = knob("", help="A label of your own for the lists; empty is fine.", max_length=80)
    seed: int = knob(0, help="Seed of every random draw of this run.", ge=0, le=2**31 - 1)
    device: Literal["auto", "cpu", "cuda", "mps"] = knob(
        "auto", help="Where to compute; auto takes CUDA, then MPS, then the CPU.", group="expert")
    precision: Literal["float32", "float64"] = knob(
        "float32", help="Floating-point precision of the computation. MPS has no float64.", group="expert")
