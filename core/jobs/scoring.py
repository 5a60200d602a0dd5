"""The score of an attack on a run of ours: the only thing that is told the truth, after the attack has chosen."""

from typing import Any

import torch

from core.attacks.outcome import Outcome
from core.data.datasets import load_digits
from core.data.problems import OddEven
from core.errors import InputError
from core.files import write_atomic, write_tensors
from core.metrics.gates import in_order, matched_gates, mismatch
from core.metrics.matching import match
from core.models.checkpoint import load_checkpoint
from core.runs.config import AttackConfig
from core.runs.directory import Run
from core.runs.recorder import Recorder
from core.threat.observe import Victim
from core.viz.images import grid_png

CHANCE_DRAWS = 3
MOST_FOR_CHANCE = 100  # samples: every pair of images is compared, in each draw


def score(run: Run, outcome: Outcome, victim: Victim) -> dict[str, Any]:
    """All private samples, matched once.

    Lists run over the targets. ``gate_mismatch`` is the share of a target's neurons whose gate at the base is another
    one for its reconstruction, ``pattern_mismatch`` the share of wrong gates among those that the attack read off the
    update itself. Which neurons these are goes to ``truth_patterns.safetensors``: ``truth.layers.l`` and
    ``found.layers.l`` [N, n] uint8, 255 where a target has no reconstruction.
    """
    found = match(outcome.x.cpu(), victim.x.float())
    pairs = matched_gates(victim.network, victim.x, outcome.x, found.assignment)
    write_tensors(run.file("truth_patterns.safetensors"), {
        f"{side}.{name}": rows for name, pair in pairs.items() for side, rows in zip(("truth", "found"), pair,
                                                                                     strict=True)})
    read = {name: in_order(outcome.tensors[f"patterns.{name}"].to(torch.uint8), found.assignment)
            for name in pairs if f"patterns.{name}" in outcome.tensors}
    return {**found.values, **{f"mean_{name}": found.mean(name) for name in found.values}, "targets": found.targets,
            "assignment": found.assignment, "labels": victim.labels.tolist(),
            "coefficients": victim.coefficients.tolist(),
            "gate_mismatch": {name: mismatch(*pair) for name, pair in pairs.items()},
            **({"pattern_mismatch": {name: mismatch(pairs[name][0], rows) for name, rows in read.items()}}
               if read else {}),
            "selected_by": "the attack's own residual"}


def score_training(run: Run, outcome: Outcome, config: AttackConfig, recorder: Recorder) -> dict[str, Any] | None:
    """Images out of trained weights alone against all training digits of that base, and by chance.

    A base of this laboratory names its training digits; of any other file, and where the data are out of reach, nothing
    is known and None comes back. ``chance_mean_ssim``: the same images matched to as many digits of the same classes
    that the base never saw, the mean of `CHANCE_DRAWS` draws.
    """
    facts = load_checkpoint(config.checkpoint).facts
    if outcome.method != "kkt" or config.adapter or config.tuned or not facts.get("indices") or not len(outcome.x):
        return None
    try:
        problem = OddEven(load_digits(facts.get("data_source", "auto")))
    except InputError as error:
        recorder.log(f"Not scored against the training digits: {error}")
        return None
    indices = torch.tensor(facts["indices"])
    x, labels = problem.images(indices), problem.labels[indices]
    write_atomic(run.file("truth.png"), grid_png(x))
    found = match(outcome.x.cpu(), x)
    return {**found.values, **{f"mean_{name}": found.mean(name) for name in found.values}, "targets": found.targets,
            "assignment": found.assignment, "labels": labels.tolist(), "of": "training digits",
            "chance_mean_ssim": _chance(outcome, problem, indices), "selected_by": "the attack's own residual"}


def _chance(outcome: Outcome, problem: OddEven, indices: torch.Tensor) -> float | None:
    """Mean SSIM over unseen digits, as many of each class as the base has; None for many samples or too few unseen."""
    if len(indices) > MOST_FOR_CHANCE:
        return None
    generator = torch.Generator().manual_seed(0)
    unseen = problem.holdout(indices)
    means = []
    for _ in range(CHANCE_DRAWS):
        mixed = unseen[torch.randperm(len(unseen), generator=generator)]
        counts = [int((problem.labels[indices] == label).sum()) for label in (0, 1)]
        others = torch.cat([mixed[problem.labels[mixed] == label][:count] for label, count in enumerate(counts)])
        if len(others) < len(indices):
            return None
        means.append(match(outcome.x.cpu(), problem.images(others)).mean("ssim"))
    return sum(means) / len(means)
