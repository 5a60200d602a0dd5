"""From an attack's config to its files: observation, search, report; then, apart from it, the score."""

import math
import time
from typing import Any

import torch
from torch import Tensor

from core.compute import choose
from core.diagnostics.confidence import confidence, near_best
from core.diagnostics.limits import limits
from core.errors import InputError
from core.files import finite, write_atomic, write_json, write_tensors
from core.jobs.inputs import load_victim
from core.metrics.matching import match
from core.models.checkpoint import load_checkpoint
from core.objectives.ntk import NTKStationarity, signed
from core.priors.penalties import Box, Penalty, Sparsity, TotalVariation
from core.runs.config import AttackConfig
from core.runs.directory import Run
from core.runs.recorder import Recorder
from core.solvers.first_order import FIRST_ORDER
from core.solvers.initial import draw_start
from core.solvers.protocol import Reconstruction
from core.solvers.search_space import pixels, row_space
from core.solvers.solve import Plan, solve
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta
from core.threat.observe import Victim, observe
from core.threat.spectrum import count_samples
from core.training.adapters import load_adapter
from core.viz.images import grid_png

LOW_RANK_PRIOR = 1e-3  # measured at ranks 8 and 128: 1e-2 blurs, 0 leaves noise


def execute(run: Run, config: AttackConfig, recorder: Recorder) -> None:
    """Attack and report; a stopped or timed-out attack reports its best images so far.

    Writes ``reconstruction.safetensors`` (x [N, C, H, W] in [0, 1]), ``result.safetensors`` (all restarts),
    pictures, and ``report.json`` last. Where the victim is a run of ours its images go to the score and to
    ``truth.png``; objective and solver get the observation alone.
    """
    began = time.monotonic()
    compute = choose(device=config.device, precision=config.precision)
    victim = load_victim(run, config.finetune) if config.finetune else None
    observation = observe(victim, config.threat) if victim else _observe_files(config)
    if victim:
        _check_nothing_given(config)
        write_atomic(run.file("truth.png"), grid_png(victim.x))
    samples, found_by = _samples(observation)
    recorder.log(f"Threat {observation.threat.level}. {found_by} {compute.describe()}, "
                 f"{torch.get_num_threads()} threads.")

    objective = NTKStationarity(observation, samples=samples, whitening=config.whitening, compute=compute)
    threat = observation.threat
    space = pixels(objective.surrogate.network.input_mean) if config.search == "pixels" else \
        row_space(objective, compute=compute)
    start = draw_start(objective, space, samples=samples, restarts=config.restarts, labels=threat.labels,
                       coefficients=threat.coefficients, init_scale=config.init_scale, seed=config.seed,
                       compute=compute)
    plan = Plan(iterations=config.iterations, lr_x=config.lr_x, lr_lam=config.lr_coefficients,
                lr_schedule=config.lr_schedule, relu_alpha_start=config.relu_alpha_start,
                relu_alpha_end=config.relu_alpha_end, fixed_lam=threat.coefficients is not None,
                tolerance=config.tolerance, record_every=config.record_every,
                max_seconds=(config.max_seconds or math.inf) - (time.monotonic() - began))
    reconstruction = solve(objective, _penalties(config, observation), space=space, start=start,
                           method=FIRST_ORDER[config.optimizer](), plan=plan, monitor=recorder)
    recorder.log(reconstruction.status.value)
    _write_images(run, reconstruction)
    score = _score(reconstruction.x, victim)
    report = {**_report(observation, reconstruction, samples, found_by), "score": score,
              "seconds": run.status().seconds}
    write_json(run.file("report.json"), finite(report))
    recorder.summary(residual=report["residuals"]["residual"], samples=samples, method="ntk",
                     threat=observation.threat.level, **({"mean_ssim": score["mean_ssim"]} if score else {}))


def _penalties(config: AttackConfig, observation: AdapterDelta) -> list[Penalty]:
    """The image priors matter where the linear measurements leave pixels open; at full rank they only blur."""
    first = observation.layers.get("layers.0")
    default = 0.0 if first is not None and first.A.shape[0] >= first.A.shape[1] else LOW_RANK_PRIOR
    tv, sparsity = (default if weight is None else weight for weight in (config.tv_weight, config.sparsity_weight))
    return [Box(config.box_weight), TotalVariation(tv), Sparsity(sparsity)]


def _observe_files(config: AttackConfig) -> AdapterDelta:
    """An observation of files made elsewhere: what is not given is not known."""
    if not config.checkpoint:
        raise InputError("checkpoint: name the base checkpoint, or in finetune a fine-tuning run of this laboratory.")
    if not config.adapter:
        raise InputError("adapter: name a peft adapter folder; an attack on a checkpoint alone is not built yet.")
    if config.threat == "oracle":
        raise InputError("threat: oracle knows the coefficients of a fine-tuning run of this laboratory; for files "
                         "made elsewhere give what you know, or choose released-only.")
    if config.labels is not None and config.samples not in (None, len(config.labels)):
        raise InputError(f"labels: {len(config.labels)} labels are given for {config.samples} samples; give one a "
                         "sample.")
    checkpoint = load_checkpoint(config.checkpoint)
    layers = load_adapter(config.adapter, checkpoint)
    labels = None if config.labels is None else torch.tensor(config.labels)
    samples = config.samples if labels is None else len(labels)
    return AdapterDelta(checkpoint.network, layers, ThreatModel(
        samples=samples, labels=labels, learning_rate=config.known_learning_rate, steps=config.known_steps))


def _check_nothing_given(config: AttackConfig) -> None:
    for name in ("checkpoint", "adapter", "samples", "labels", "known_learning_rate", "known_steps"):
        if getattr(config, name) not in (None, ""):
            raise InputError(f"{name}: this is for files made elsewhere; of the fine-tuning run {config.finetune} the "
                             "threat level decides what is known. Leave it empty.")


def _samples(observation: AdapterDelta) -> tuple[int, str]:
    if observation.threat.samples is not None:
        count = observation.threat.samples
        return count, f"N = {count} is known."
    found = count_samples(observation)
    return found.samples, found.explanation


def _write_images(run: Run, reconstruction: Reconstruction) -> None:
    candidate, x = reconstruction.candidate, reconstruction.x
    write_tensors(run.file("result.safetensors"), {
        "x": candidate.x.float(), "labels": candidate.labels, "lam": candidate.lam,
        "residuals": reconstruction.residuals["residual"], "best": torch.tensor(reconstruction.best)})
    write_tensors(run.file("reconstruction.safetensors"), {"x": x.float()})
    write_atomic(run.file("reconstruction.png"), grid_png(x))
    order = reconstruction.residuals["residual"].argsort().tolist()
    write_atomic(run.file("restarts.png"), grid_png(candidate.x[order].flatten(0, 1), columns=x.shape[0]))


def _report(observation: AdapterDelta, reconstruction: Reconstruction, samples: int, found_by: str) -> dict[str, Any]:
    best, candidate = reconstruction.best, reconstruction.candidate
    residual = reconstruction.residuals["residual"]
    return {
        "method": "ntk", "method_reason": "The released update is a LoRA adapter: the NTK objective explains it as a "
        "sum of tangent features at the base.",
        "status": reconstruction.status.name.lower(), "status_message": reconstruction.status.value,
        "threat": observation.threat.level, "samples": samples, "samples_found_by": found_by,
        "labels": candidate.labels[best].tolist(),
        "labels_found_by": "known" if observation.threat.labels is not None else
        "smallest residual among the restarts' label patterns",
        "coefficients": signed(candidate)[best].tolist(),
        "iterations": reconstruction.iterations, "restarts": len(residual), "best_restart": best,
        "restarts_near_best": len(near_best(residual, best)),
        "residuals": {name: float(value[best]) for name, value in reconstruction.residuals.items()},
        "confidence": confidence(candidate, residual, best),
        "limits": limits(observation, reconstruction, samples=samples)}


def _score(x: Tensor, victim: Victim | None) -> dict[str, Any] | None:
    """All targets, matched once; None where the truth is not ours to know."""
    if victim is None:
        return None
    score = match(x.cpu(), victim.x.float())
    return {**score.values, **{f"mean_{name}": score.mean(name) for name in score.values}, "targets": score.targets,
            "assignment": score.assignment, "selected_by": "the attack's own residual"}
