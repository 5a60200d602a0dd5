"""CIFAR-10 through torchvision: on disk, or downloaded once (170 MB)."""

from functools import lru_cache
from pathlib import Path

import torch

from core.data.samples import Samples, data_root, fetch
from core.io.errors import InputError

ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
FOLDER = Path("cifar-10-batches-py")
FILES = [FOLDER / name for name in (*(f"data_batch_{part}" for part in range(1, 6)), "test_batch", "batches.meta")]


def load_cifar() -> Samples:
    """The 50,000 training pictures in their published order; raises `InputError` where they cannot be had."""
    obstacle = "" if all((data_root() / path).is_file() for path in FILES) else _download()
    if not obstacle:
        try:
            return _read(data_root())
        except RuntimeError as error:  # torchvision compares checksums
            obstacle = str(error)
    raise InputError(f"data_source: CIFAR-10 is not in {data_root()} and could not be downloaded ({obstacle}); connect "
                     "once, put its files there, or choose a problem that needs no download, such as faces.")


@lru_cache(maxsize=1)
def _read(root: Path) -> Samples:
    from torchvision.datasets import CIFAR10

    dataset = CIFAR10(root, train=True, download=False)
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).float() / 255.0  # [M, 32, 32, 3] to [M, 3, 32, 32]
    return Samples(images.contiguous(), torch.tensor(dataset.targets), "torchvision",
                   f"CIFAR-10 train set from torchvision, {len(images):,} pictures in their published order")


def _download() -> str:
    from torchvision.datasets import CIFAR10

    return fetch(lambda folder: CIFAR10(folder, train=True, download=True), FILES, ADDRESS)
