"""Scoring a reconstruction against the truth: one assignment, made once, over all targets."""

from dataclasses import dataclass
from typing import Any

from scipy.optimize import linear_sum_assignment
from torch import Tensor

from core.assessment.likeness import PAIRS, table
from core.models.modality import IMAGES, Modality, of_shape


@dataclass(frozen=True)
class Score:
    """Measures by target, in the order of the truth; a target without a reconstruction counts as its modality says."""

    assignment: list[int | None]       # for each target, the index of its reconstruction
    values: dict[str, list[float]]     # name of a measure to [N]
    modality: Modality = IMAGES

    @property
    def targets(self) -> int:
        return len(self.assignment)

    @property
    def recovered(self) -> int:
        """Targets that count as found."""
        return sum(map(self.modality.is_found, self.values[self.modality.headline.name]))

    def stored(self) -> dict[str, Any]:
        """As reports name it: each measure by target, its mean, and who was matched with whom."""
        return {**self.values, **{f"mean_{name}": self.mean(name) for name in self.values}, "targets": self.targets,
                "recovered": self.recovered, "assignment": self.assignment}

    def mean(self, measure: str) -> float:
        """Over all targets: the denominator is their number."""
        return sum(self.values[measure]) / self.targets


def match(x: Tensor, truth: Tensor) -> Score:
    """Match reconstructions [M, C, H, W] to targets [N, C, H, W], of any modality, within its range.

    Hungarian assignment with the best sum of the headline measure; the others are read at that assignment.
    """
    modality = of_shape(truth.shape[1:])
    headline = table(modality, x, truth)
    targets, chosen = linear_sum_assignment(headline.numpy(), maximize=modality.higher)
    pairs = dict(zip(targets.tolist(), chosen.tolist(), strict=True))
    assignment = [pairs.get(index) for index in range(len(truth))]

    def measured(name: str, target: int, index: int) -> float:
        return PAIRS[name](x[index], truth[target]) if name in PAIRS else headline[target, index].item()

    values = {measure.name: [measure.missing if index is None else measured(measure.name, target, index)
                             for target, index in enumerate(assignment)] for measure in modality.measures}
    return Score(assignment, values, modality)
