"""From an attack's config to its files: observation, method, report; then, apart from it, the score."""

import math
import time

from core.config.finetune import FinetuneConfig
from core.diagnostics.plane import landscape
from core.io.errors import InputError
from core.io.files import write_atomic, write_json, write_tensors
from core.io.images import grid_png
from core.models.modality import of_shape
from core.reconstruction import auto
from core.reconstruction.calibration import EVENT
from core.reconstruction.result import AttackResult
from core.reconstruction.solvers.protocol import Status
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.recorder import Recorder
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import ImageScore, PointScore
from core.tasks.input_choice import InputChoice, choose_inputs, doubt_inputs
from core.tasks.inputs import load_victim, resolve_base, victim_run
from core.tasks.nearest_images import base_images, write_nearest
from core.tasks.scoring import score, score_training
from core.threat.observation import Observation
from core.threat.observe import observe
from core.threat.observe_files import observe_files


def execute(run: Run, config: AttackConfig, recorder: Recorder) -> None:
    """Attack and report; a stopped or timed-out attack reports its best images so far.

    Writes ``reconstruction.safetensors`` (x [N, C, H, W] in [0, 1]), ``result.safetensors`` (the method's
    tensors), pictures, and ``report.json`` last. Where the victim is a run of ours its images go to the score
    and to ``truth.png``; the attack gets the observation alone.
    """
    began = time.monotonic()
    victim = load_victim(run, config.finetune) if config.finetune else None
    observation = observe(victim, config.threat) if victim else observe_files(config)
    ends = began + config.max_seconds if config.max_seconds else math.inf
    inputs = None if victim else choose_inputs(observation, recorder, ends=ends)
    if victim:
        _check_nothing_given(config)
        write_atomic(run.file("truth.png"), grid_png(victim.x))
    if of_shape(observation.network.image_shape).planar:
        write_json(run.file("plane.json"), landscape(observation.network))
    if inputs is not None:
        observation = inputs.observation
    outcome = auto.attack(observation, config, recorder, began=began)
    if inputs is not None and observation.inputs_said and outcome.status is Status.CONTRADICTORY:
        inputs = doubt_inputs(observation, recorder, ends=ends)
        if inputs.observation.network is not observation.network:
            observation = inputs.observation
            outcome = auto.attack(observation, config, recorder, began=began)
    recorder.log(outcome.status.value)
    _write(run, outcome)
    scored = score(run, outcome, victim, config, recorder) if victim else score_training(run, outcome, config, recorder)
    if victim:
        source = victim_run(run, config.finetune)
        made = source.config()
        assert isinstance(made, FinetuneConfig)  # load_victim has said so before
        base = base_images(resolve_base(source, made.base), recorder)
        scored = scored.model_copy(update={"nearest": write_nearest(
            run, outcome.x, {"private samples": victim.x, "base's training set": base})})
    write_json(run.file("report.json"), _report(run, observation, outcome, scored, inputs).stored())
    recorder.summary(residual=outcome.residuals["residual"], samples=len(outcome.x), method=outcome.method,
                     threat=observation.threat.level, **(scored.card if scored else {}))


def _check_nothing_given(config: AttackConfig) -> None:
    for name in ("checkpoint", "adapter", "tuned", "input_mean", "input_std", "samples", "labels",
                 "known_learning_rate", "known_steps"):
        if getattr(config, name) not in (None, ""):
            raise InputError(f"{name}: this is for files made elsewhere; of the fine-tuning run {config.finetune} the "
                             "threat level decides what is known. Leave it empty.")


def _write(run: Run, outcome: AttackResult) -> None:
    write_tensors(run.file("result.safetensors"), outcome.tensors)
    write_tensors(run.file("reconstruction.safetensors"), {"x": outcome.x.float()})
    write_atomic(run.file("reconstruction.png"), grid_png(outcome.x))
    for name, picture in outcome.pictures.items():
        write_atomic(run.file(name), picture)


def _report(run: Run, observation: Observation, outcome: AttackResult, scored: ImageScore | PointScore | None,
            inputs: InputChoice | None) -> AttackReport:
    limits = [*outcome.limits, *observation.notes, *(inputs.limits if inputs else ())]
    return AttackReport(
        method=outcome.method, method_reason=outcome.reason,
        status=outcome.status.name.lower(), status_message=outcome.status.value,
        threat=observation.threat.level, samples=len(outcome.x), samples_found_by=outcome.samples_found_by,
        labels=outcome.labels.tolist(), labels_found_by=outcome.labels_found_by,
        coefficients=outcome.coefficients.tolist(), **outcome.facts, residuals=outcome.residuals,
        confidence=outcome.confidence, confidence_is=f"the probability that {EVENT}", limits=limits,
        inputs=inputs.facts if inputs else None,
        score=scored, changes=run.changes(), seconds=run.status().seconds)
