"""The common ground of all that report.json holds.

Every field has a default, so that a report of an earlier version opens; a key that no model knows (a method's own fact,
or that of a later version) is kept as it is. `Stored.stored` gives the keys that were set, and no others.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from core.io.files import finite

Number = float | None  # null in the file where a value was not finite


class Stored(BaseModel):
    """A frozen object of a report."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def stored(self) -> dict[str, Any]:
        """As JSON for report.json: the keys that were set, NaN and infinity as None."""
        return finite(self.model_dump(exclude_unset=True))


class Report(Stored):
    """The outcome of a run of any kind, in numbers and words."""

    limits: list[str] = []  # what limits it, in sentences


class LayerSpectrum(Stored):
    """Singular values of one layer's update, largest first."""

    values: list[Number] = []
    noise: Number = None  # the size below which a value may be rounding
    samples: int = 0      # N as this layer alone tells it
