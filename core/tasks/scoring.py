"""The score of an attack on a run of ours: the only thing that is told the truth, after the attack has chosen."""

from typing import Any

import torch
from torch import Tensor

from core.artifacts.checkpoint import Checkpoint, load_checkpoint
from core.assessment.controls import measure_controls, other_sets, public_mean
from core.assessment.finding import is_finding
from core.assessment.gates import in_order, matched_gates, mismatch
from core.assessment.matching import match
from core.assessment.training_score import score_against, score_points, training_truth
from core.config.finetune import FinetuneConfig
from core.data.problems import Problem, problem_of
from core.diagnostics.visibility import is_visible, pool_coefficients
from core.io.errors import InputError
from core.io.files import write_atomic, write_tensors
from core.io.images import grid_png
from core.reconstruction.result import AttackResult
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.recorder import Recorder
from core.runs.reports.score import ImageScore, PointScore
from core.runs.reports.training import FinetuneReport
from core.tasks.inputs import resolve_base, victim_run
from core.tasks.nearest_images import write_nearest
from core.threat.observe import Victim

SELECTED_BY = "the attack's own residual"


def score(run: Run, outcome: AttackResult, victim: Victim, config: AttackConfig, recorder: Recorder) -> ImageScore:
    """All private samples, matched once, beside what a score has to beat (`core.assessment.controls`).

    ``gate_mismatch`` is the share of a target's neurons whose gate at the base is another one for its reconstruction,
    ``pattern_mismatch`` the share of wrong gates among those that the attack read off the update itself. Which
    neurons these are goes to ``truth_patterns.safetensors``: ``truth.layers.l`` and ``found.layers.l`` [N, n] uint8,
    255 where a target has no reconstruction.
    """
    found = match(outcome.x.cpu(), victim.x.float())
    pairs = matched_gates(victim.network, victim.x, outcome.x, found.assignment)
    write_tensors(run.file("truth_patterns.safetensors"), {
        f"{side}.{name}": rows for name, pair in pairs.items() for side, rows in zip(("truth", "found"), pair,
                                                                                     strict=True)})
    read = {name: in_order(outcome.tensors[f"patterns.{name}"].to(torch.uint8), found.assignment)
            for name in pairs if f"patterns.{name}" in outcome.tensors}
    wrong = {name: mismatch(pairs[name][0], rows) for name, rows in read.items()}
    patterns: dict[str, Any] = {"pattern_mismatch": wrong} if read else {}
    return ImageScore(
        **found.stored(), labels=victim.labels.tolist(), coefficients=victim.coefficients.tolist(),
        problem=victim.problem,
        gate_mismatch={name: mismatch(*pair) for name, pair in pairs.items()}, **patterns,
        **_controls(run, outcome, victim, config, recorder, found.mean("ssim")), selected_by=SELECTED_BY)


def _controls(run: Run, outcome: AttackResult, victim: Victim, config: AttackConfig, recorder: Recorder,
              mean_ssim: float) -> dict[str, Any]:
    """``controls`` and ``finding``; none where the public data that they need are out of reach."""
    source = victim_run(run, config.finetune)
    made = source.config()
    assert isinstance(made, FinetuneConfig)
    checkpoint, tuned = resolve_base(source, made.base), source.report(FinetuneReport) or FinetuneReport()
    try:
        problem = problem_of(checkpoint.facts, source=tuned.data_source or "auto")
    except InputError as error:
        recorder.log(f"Not compared with the mean image and wrong releases: {error}")
        return {}
    if tuple(problem.data.images.shape[1:]) != tuple(victim.x.shape[1:]):
        return {}
    pool = _alike(problem, checkpoint, made, torch.tensor(tuned.indices))
    controls = measure_controls(
        outcome.x.cpu(), victim.x, mean_image=public_mean(problem, base=checkpoint.network.input_mean, pool=pool),
        others=other_sets(problem, victim.labels, pool=pool, images=len(outcome.x)))
    return {"controls": controls, "finding": is_finding(mean_ssim, controls)}


def _alike(problem: Problem, checkpoint: Checkpoint, config: FinetuneConfig, private: Tensor) -> Tensor:
    """Dataset indices of the public samples that the fine-tuning's own rule could have drawn."""
    pool = problem.holdout(checkpoint.facts.get("indices", []))
    pool = pool[~torch.isin(pool, private)]
    if config.selection != "visible" or config.indices is not None:
        return pool
    seen = is_visible(pool_coefficients(checkpoint.network, problem.images(pool), problem.labels[pool]))
    return pool[seen] if seen.any() else pool


def score_training(run: Run, outcome: AttackResult, config: AttackConfig, recorder: Recorder,
                   ) -> ImageScore | PointScore | None:
    """Images out of trained weights alone against all training samples of that base, beside its controls.

    A base of this laboratory names its training samples; of any other file, and where the data are out of reach,
    nothing is known and None comes back. `core.assessment.training_score` says what the fields are.
    """
    checkpoint = load_checkpoint(config.checkpoint)
    facts = checkpoint.facts
    if config.adapter or config.tuned or not facts.get("indices") or not len(outcome.x):
        return None
    try:
        problem = problem_of(facts)
    except InputError as error:
        recorder.log(f"Not scored against the training samples: {error}")
        return None
    indices = torch.tensor(facts["indices"])
    truth = training_truth(problem, indices, checkpoint.network.input_mean, images=len(outcome.x))
    write_atomic(run.file("truth.png"), grid_png(truth.x))
    candidates = outcome.tensors["x"][int(outcome.tensors["best"])]  # all, as the search left them
    if problem.kind.modality.planar:
        write_tensors(run.file("truth.safetensors"), {"x": truth.x, "labels": truth.labels})
        scored: ImageScore | PointScore = score_points(truth, outcome.x.cpu())
        near: dict[str, Any] = {}
    else:
        scored = score_against(truth, outcome.x.cpu(), candidates)
        near = {"nearest": write_nearest(run, outcome.x, {"base's training set": truth.x})}
    return scored.model_copy(update={**near, "problem": problem.name, "of": f"training {problem.kind.noun}s",
                                     "selected_by": SELECTED_BY})
