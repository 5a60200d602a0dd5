"""What every data set gives: images in its own order, and where torchvision's files lie or come from."""

import os
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

PROBE_SECONDS = 2.0
STALL_SECONDS = 10.0  # a download that delivers nothing for so long is given up


@dataclass(frozen=True)
class Samples:
    """A data set in its own order; a dataset index, here and in checkpoints, is a row of `images`."""

    images: Tensor     # [M, C, H, W] float32 in [0, 1]
    targets: Tensor    # [M] int64, the data set's own classes: 0 to 9 for digits
    source: str        # as `core.data.catalogue` names it
    description: str   # for people

    def __len__(self) -> int:
        return len(self.targets)


def data_root() -> Path:
    """Where torchvision's files live: ``$AFTERIMAGE_DATA``, else ``data`` beside ``core``."""
    return Path(os.environ.get("AFTERIMAGE_DATA") or Path(__file__).parents[2] / "data")


def fetch(download: Callable[[Path], object], files: Iterable[Path], address: str) -> str:
    """Let `download` fill a folder and put `files` of it, by relative path, under `data_root`.

    Returns why not, within seconds where nothing answers at `address`; empty if done.
    """
    if not reachable(address):
        return f"{address.split('/')[2]} does not answer"
    root, before = data_root(), socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)  # urllib waits for ever without one
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Into a folder of its own, then moved: a kill half-way, or a second process, never meets half a file.
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
            download(Path(folder))
            for path in files:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(folder) / path, root / path)
    except (OSError, RuntimeError) as error:  # a proxy's refusal, a broken file, a read-only folder
        return str(error)
    finally:
        socket.setdefaulttimeout(before)
    return ""


def reachable(address: str) -> bool:
    """Whether a URL answers within `PROBE_SECONDS`, through a proxy if the environment names one."""
    answered = threading.Event()

    def knock() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PROBE_SECONDS).close()
        except OSError:  # URLError and HTTPError are OSErrors: not reachable is the answer
            return
        answered.set()

    # A thread, since looking the name up has no timeout of its own and can take half a minute offline.
    thread = threading.Thread(target=knock, daemon=True, name="mirror-probe")
    thread.start()
    thread.join(PROBE_SECONDS)
    return answered.is_set()
