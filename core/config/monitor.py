"""What an engine tells the world while it runs, and what the world may ask of it.

Engines take a `Monitor` and know nothing of files, processes or pages.
`core.runs.recorder.Recorder` writes to a run directory; `Silent` is for library use.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from core.config.knob_change import Change


class Monitor(Protocol):
    """Receives progress; `should_stop`, `load_checkpoint` and `changes` are the only questions."""

    def progress(self, step: int, total: int) -> None:
        """`step` of `total` steps are finished. Cheap; call it every step."""

    def record(self, step: int, **values: Any) -> None:
        """Append one row of named values to the metrics: numbers, lists of numbers, words, JSON."""

    def snapshot(self, step: int, images: torch.Tensor, *, restarts: torch.Tensor | None = None,
                 numbers: Sequence[int] = ()) -> None:
        """Keep images [N, C, H, W] in [0, 1] as they are at `step`; of a search with several restarts also those of
        each, `restarts` [R, N, C, H, W] with their `numbers` (from 0)."""

    def gates(self, step: int, switched: dict[str, torch.Tensor]) -> None:
        """Show which gates switched, by hidden layer [N, n] bool: of a fine-tuning since the base, of an attack since
        its last snapshot. Replaces what was shown before."""

    def offer(self, knobs: dict[str, float]) -> None:
        """These knobs may be changed from now on, and have these values."""

    def changes(self, step: int) -> Sequence[Change]:
        """All changes that people made so far; a new one counts from `step`, which begins now. Cheap.

        Those of later steps are there as well where a run that was killed comes to them again.
        """

    def should_stop(self) -> bool:
        """True once somebody asked to stop: checkpoint and return."""

    def save_checkpoint(self, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
        """Replace the checkpoint atomically. `meta` is JSON and holds at least ``step``."""

    def load_checkpoint(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The last checkpoint, or None for a fresh start."""

    def log(self, message: str) -> None:
        """One line for the run's log."""


class Silent:
    """A monitor that hears nothing and never stops."""

    def progress(self, step: int, total: int) -> None: ...
    def record(self, step: int, **values: Any) -> None: ...

    def snapshot(self, step: int, images: torch.Tensor, *, restarts: torch.Tensor | None = None,
                 numbers: Sequence[int] = ()) -> None: ...

    def gates(self, step: int, switched: dict[str, torch.Tensor]) -> None: ...
    def save_checkpoint(self, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None: ...
    def log(self, message: str) -> None: ...
    def offer(self, knobs: dict[str, float]) -> None: ...

    def changes(self, step: int) -> Sequence[Change]:
        return ()

    def should_stop(self) -> bool:
        return False

    def load_checkpoint(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        return None
