"""A problem: labelled images, which of them train the base, and which are left to fine-tune on.

Fine-tuning and attacks live on the hold-out: what a base was trained on has loss coefficients sigma(f) - y near
1e-18, so that fine-tuning on it again leaves no trace that anybody could read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.data.catalogue import DEFAULT, KINDS, Kind
from core.data.cifar import load_cifar
from core.data.digits import load_digits
from core.data.faces import load_faces
from core.data.plane import draw_points
from core.data.samples import Samples
from core.io.errors import InputError

ANIMALS = (2, 3, 4, 5, 6, 7)  # classes of CIFAR-10; the others are vehicles


@dataclass(frozen=True)
class Problem:
    """A data set and the labels of its samples. Indices are rows of `data.images`."""

    name: str        # as in `core.data.catalogue`
    data: Samples
    labels: Tensor   # [M] int64, a row of `kind.classes`

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        """[N, C, H, W] float32 in [0, 1]."""
        return self.data.images[torch.as_tensor(indices, dtype=torch.int64)]

    def select_training(self, samples_per_class: int) -> Tensor:
        """Indices [K n], ascending: the first n of each class in order, no shuffle (Haim et al. 2022)."""
        members = [torch.nonzero(self.labels == label).flatten() for label in range(len(self.kind.classes))]
        most = min(len(group) for group in members) - 1  # one sample a class is left to fine-tune on
        if not 1 <= samples_per_class <= most:
            raise InputError(f"samples_per_class: {samples_per_class} is not between 1 and {most}, what "
                             f"{self.data.source} has of each class with a hold-out left; choose fewer"
                             f"{self._larger_source()}.")
        return torch.cat([group[:samples_per_class] for group in members]).sort().values

    def holdout(self, trained: Sequence[int] | Tensor) -> Tensor:
        """Indices, ascending, of everything that the base was not trained on."""
        free = torch.ones(len(self.data), dtype=torch.bool)
        free[self._within(trained, "the base's training indices")] = False
        return torch.nonzero(free).flatten()

    def select_holdout(self, samples: int, *, trained: Sequence[int] | Tensor,
                       pool: Sequence[int] | Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Indices [N] of hold-out samples, drawn evenly from all classes: the last class first, which has one more
        where N does not divide.

        `pool`: draw from these hold-out indices only. `generator`: a random draw; without one, the first in order.
        """
        unseen = self.holdout(trained) if pool is None else self.check_holdout(pool, trained=trained)
        return self._drawn(samples, unseen, generator)

    def select_trained(self, samples: int, *, trained: Sequence[int] | Tensor, generator: torch.Generator) -> Tensor:
        """As `select_holdout`, of the samples that the base was trained on."""
        return self._drawn(samples, self._within(trained, "the base's training indices"), generator)

    def _drawn(self, samples: int, pool: Tensor, generator: torch.Generator | None) -> Tensor:
        """Evenly from all classes of the pool."""
        chosen, classes = [], self.kind.classes
        for place, label in enumerate(reversed(range(len(classes)))):
            wanted = samples // len(classes) + (place < samples % len(classes))
            group = pool[self.labels[pool] == label]
            if wanted > len(group):
                raise InputError(f"samples: {samples} needs {wanted} {classes[label]} {self.kind.noun}s, but there are "
                                 f"{len(group)} to choose from; ask for fewer.")
            order = torch.arange(len(group)) if generator is None else torch.randperm(len(group), generator=generator)
            chosen.append(group[order[:wanted]])
        return torch.cat(chosen)

    def check_holdout(self, indices: Sequence[int] | Tensor, *, trained: Sequence[int] | Tensor) -> Tensor:
        """The hold-out guard: `indices` as a tensor [N], or an `InputError` that names what is wrong with them."""
        wanted = self._within(indices, "the samples asked for")
        seen = Counter(wanted.tolist())
        repeated = sorted(index for index, times in seen.items() if times > 1)
        if repeated:
            raise InputError(f"indices: {_listed(repeated)} given more than once; name every sample once.")
        overlap = sorted(seen.keys() & set(torch.as_tensor(trained).tolist()))
        if overlap:
            raise InputError(
                f"indices: the base was pretrained on {_listed(overlap)}; it fits them so well that their loss "
                "coefficients are near 1e-18 and fine-tuning on them hardly moves a weight: choose hold-out samples, "
                "or set selection to trained to see that for yourself.")
        return wanted

    def _within(self, indices: Sequence[int] | Tensor, what: str) -> Tensor:
        tensor = torch.as_tensor(indices, dtype=torch.int64).flatten()
        outside = tensor[(tensor < 0) | (tensor >= len(self.data))].tolist()
        if outside:
            raise InputError(f"indices: {_listed(outside)} in {what} outside 0 to {len(self.data) - 1}, the "
                             f"{self.kind.noun}s of {self.data.source}; correct the indices or the data source.")
        return tensor

    def _larger_source(self) -> str:
        first = next(iter(self.kind.sources))
        return "" if self.data.source == first else f", or data_source {first}"


def open_problem(name: str, *, source: str = "auto", seed: int = 0, samples_per_class: int = 5) -> Problem:
    """The problem `name` from `source`; raises `InputError` where it is not known or its data are out of reach.

    `seed` and `samples_per_class` say which points toy-2d draws, and mean nothing elsewhere.
    """
    if name not in KINDS:
        raise InputError(f"problem: {name!r} is not known; choose one of {', '.join(KINDS)}.")
    if source not in ("auto", *KINDS[name].sources):
        raise InputError(f"data_source: {source!r} has no {name}; choose auto or "
                         f"{' or '.join(KINDS[name].sources)}.")
    if name == "cifar-vehicles-animals":
        data = load_cifar()
        return Problem(name, data, torch.isin(data.targets, torch.tensor(ANIMALS)).long())
    if name == "faces":
        data = load_faces()
        return Problem(name, data, data.targets)
    if name == "toy-2d":
        data = draw_points(seed=seed, samples_per_class=samples_per_class)
        return Problem(name, data, data.targets)
    data = load_digits(source)
    return Problem(name, data, data.targets if name == "mnist-digits" else data.targets % 2)


def problem_of(facts: Mapping[str, Any], *, source: str = "auto") -> Problem:
    """The problem that a checkpoint's facts name; odd / even digits for a foreign base, which names none.

    `source` stands in where the facts do not name theirs.
    """
    name = facts.get("problem", DEFAULT)
    if name not in KINDS:
        raise InputError(f"base: it was trained on {name!r}, which is not known here; name one trained on "
                         f"{', '.join(KINDS)}.")
    drawn = {key: value for key, value in facts.get("config", {}).items() if key in ("seed", "samples_per_class")}
    return open_problem(name, source=facts.get("data_source", source), **drawn)


def _listed(indices: list[int], most: int = 8) -> str:
    shown = ", ".join(str(index) for index in indices[:most])
    more = f" and {len(indices) - most} more" if len(indices) > most else ""
    return f"{shown}{more}"
