"""Files that people bring: kept beside the runs, under the hash of what they hold."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from core.io.errors import InputError
from core.io.files import write_atomic

FOLDER = ".uploads"  # hidden: no run is in it


def keep(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files of those names into one folder and return it; the same files again are the same folder.

    Raises `InputError` where a name is no plain file name, or where they cannot be written.
    """
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        if not name or Path(name).name != name or name.startswith("."):
            raise InputError(f"upload: {name!r} is no plain file name; rename the file.")
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    folder = root / FOLDER / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if not (folder / name).exists():
                write_atomic(folder / name, content)
    except OSError as error:
        raise InputError(f"upload: cannot write to {folder} ({error.strerror or error}); free some space.") from error
    return folder
