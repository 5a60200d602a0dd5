"""The score of an attack on a run of ours: the only thing that is told the truth, after the attack has chosen."""

from typing import Any

import torch

from core.attacks.outcome import Outcome
from core.files import write_tensors
from core.metrics.gates import in_order, matched_gates, mismatch
from core.metrics.matching import match
from core.runs.directory import Run
from core.threat.observe import Victim


def score(run: Run, outcome: Outcome, victim: Victim | None) -> dict[str, Any] | None:
    """All targets, matched once; None where the truth is not ours to know.

    Lists run over the targets. ``gate_mismatch`` is the share of a target's neurons whose gate at the base is another
    one for its reconstruction, ``pattern_mismatch`` the share of wrong gates among those that the attack read off the
    update itself. Which neurons these are goes to ``truth_patterns.safetensors``: ``truth.layers.l`` and
    ``found.layers.l`` [N, n] uint8, 255 where a target has no reconstruction.
    """
    if victim is None:
        return None
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
