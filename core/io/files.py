"""Writing files so that a kill at any byte leaves the old content or the new, never half."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: a temporary file beside it, synced, then renamed."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes 0600; other users of a shared file system may read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed `write_atomic` left in `folder` (a checkpoint's may be large).

    Only for a caller who knows that nobody else is writing there now.
    """
    for path in folder.glob(".*"):
        if re.fullmatch(r"\..+\.(json|jsonl|safetensors|png)\.[a-z0-9_]{8}", path.name):
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Atomic JSON. NaN and infinity are refused: other readers could not parse them."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Atomic safetensors file with string metadata."""
    from safetensors.torch import save as serialize  # here: reading a run's state must not cost the import of torch

    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    write_atomic(path, serialize(plain, metadata=metadata))


def finite(value: Any) -> Any:
    """JSON without NaN: a value that is not finite becomes None, which plots leave out."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
