"""From a fine-tuning run's config to its files: base, private samples, training, what is published, truth, report."""

from typing import Any

import torch
from torch import Tensor

from core.artifacts.checkpoint import Checkpoint, load_checkpoint, save_tuned
from core.artifacts.lora_folder import load_adapter, save_adapter
from core.config.finetune import FinetuneConfig
from core.config.thresholds import ROUNDING_FLOOR, STABLE_COSINE
from core.data.problems import Problem, problem_of
from core.diagnostics.spectra import spectra
from core.diagnostics.visibility import Visibility, is_visible, judge, pool_coefficients, relative_change
from core.io.errors import InputError
from core.io.files import write_atomic, write_json, write_tensors
from core.io.images import grid_png
from core.runs.directory import Run
from core.runs.recorder import Recorder
from core.runs.reports.stored import LayerSpectrum
from core.runs.reports.training import FinetuneReport, KinkDistance
from core.tasks.inputs import resolve_base
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta
from core.threat.observe_files import fully_connected
from core.threat.update import weight_delta
from core.training.finetune import Finetuning, finetune

NTK_WEIGHT_CHANGE = 0.01  # of the norm: beyond it, features frozen at theta_0 no longer describe the update


def execute(run: Run, config: FinetuneConfig, recorder: Recorder) -> None:
    """Fine-tune on private hold-out samples; a stop leaves a checkpoint and nothing published.

    Writes what is published: ``adapter/``, or ``tuned.safetensors`` after full fine-tuning. As truth: ``truth.png``
    and ``result.safetensors`` with x [N, 1, 28, 28] in [0, 1], labels [N], indices [N], coefficients [N] (sum over
    steps of -lr * dL/df_i), visibility [N], and ``flipped.layers.l`` [N, n], 1 where a gate differs between theta_0 and
    theta_T. ``report.json`` comes last.
    """
    checkpoint = fully_connected(resolve_base(run, config.base), "base")
    problem = _problem(checkpoint, run.status().summary.get("data_source", "auto"))
    recorder.summary(data_source=problem.data.source)
    indices = choose_samples(problem, checkpoint, config)
    x, labels = problem.images(indices), problem.labels[indices]
    write_atomic(run.file("truth.png"), grid_png(x))
    recorder.log(f"{len(indices)} private {problem.kind.noun}s, dataset indices {indices.tolist()}. "
                 f"{problem.data.description}.")

    outcome = finetune(checkpoint.network, x, labels, config, monitor=recorder)
    if not outcome.finished:
        recorder.log(f"Stopped after {outcome.step} of {config.steps} steps; Resume continues from here.")
        return
    # Storing in float64 what was computed in float32 brings nothing back: the coarser of the two counts.
    rounded_to = max(config.precision, config.adapter_dtype, key=ROUNDING_FLOOR.__getitem__)
    full = config.adaptation == "full"
    seen = judge(torch.tensor(outcome.before.coefficients, dtype=torch.float64), stored_dtype=rounded_to,
                 change=relative_change(checkpoint.network, outcome.model.cpu()) if full else None)
    if full:
        save_tuned(run.file("tuned.safetensors"), outcome.model, dtype=config.adapter_dtype,
                   base_fingerprint=checkpoint.fingerprint)
    else:
        save_adapter(run.file("adapter"), outcome.model, dtype=config.adapter_dtype,
                     base_fingerprint=checkpoint.fingerprint)
    write_tensors(run.file("result.safetensors"), {
        "x": x.float(), "labels": labels, "indices": indices, "coefficients": outcome.kappa,
        "visibility": torch.tensor(seen.values, dtype=torch.float64),
        **{f"flipped.{name}": pairs.to(torch.uint8) for name, pairs in outcome.flipped.items()}})
    write_json(run.file("report.json"), _report(run, config, checkpoint, problem, indices, outcome, seen).stored())
    released = {"adaptation": "full"} if full else {"rank": config.rank}
    recorder.summary(samples=len(indices), **released, steps=config.steps, loss=outcome.after.loss,
                     visible=len(indices) - seen.verdicts.count("hidden"))


def choose_samples(problem: Problem, checkpoint: Checkpoint, config: FinetuneConfig) -> Tensor:
    """Dataset indices [N] of the private samples; any that the base's facts name as trained on only on purpose."""
    trained = checkpoint.facts.get("indices", [])
    if config.indices is not None:
        if not config.indices:
            raise InputError("indices: the list is empty; name at least one, or leave the field empty.")
        return problem.check_holdout(config.indices, trained=trained)
    generator = torch.Generator().manual_seed(config.seed)
    if config.selection == "trained":
        if not trained:
            raise InputError("selection: the base does not say what it was trained on; choose visible or random.")
        return problem.select_trained(config.samples, trained=trained, generator=generator)
    if config.selection == "first":
        return problem.select_holdout(config.samples, trained=trained)
    if config.selection == "random":
        return problem.select_holdout(config.samples, trained=trained, generator=generator)
    pool = problem.holdout(trained)
    pool = pool[is_visible(pool_coefficients(checkpoint.network, problem.images(pool), problem.labels[pool]))]
    try:
        return problem.select_holdout(config.samples, trained=trained, pool=pool, generator=generator)
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}, or set selection to random: only {len(pool)} hold-out "
                         f"{problem.kind.noun}s are within 30x of the largest coefficient.") from error


def _problem(checkpoint: Checkpoint, fallback_source: str) -> Problem:
    """The problem that the base was trained on; for a foreign base, our digits as they are at hand."""
    problem = problem_of(checkpoint.facts, source=fallback_source)
    if problem.kind.modality.planar:
        raise InputError("base: it was trained on points of the plane, which are there for kkt on the base alone; "
                         "name a base of pictures.")
    shape = tuple(problem.data.images.shape[1:])
    if checkpoint.network.image_shape != shape:
        raise InputError(f"base: it takes images of shape {list(checkpoint.network.image_shape)}, but the "
                         f"{problem.kind.noun}s are {list(shape)}; name a base that says what it was trained on.")
    return problem


def _report(run: Run, config: FinetuneConfig, checkpoint: Checkpoint, problem: Problem, indices: Tensor,
            outcome: Finetuning, seen: Visibility) -> FinetuneReport:
    after = outcome.after
    lora: dict[str, Any] = {"rank": config.rank, "alpha": config.lora_alpha, "scaling": config.lora_alpha / config.rank}
    return FinetuneReport(
        base=config.base, base_fingerprint=checkpoint.fingerprint,
        samples=len(indices), labels=problem.labels[indices].tolist(), indices=indices.tolist(),
        adaptation=config.adaptation, **(lora if config.adaptation == "lora" else {}),
        layers=sorted(set(config.layers)), optimizer=config.optimizer, learning_rate=config.learning_rate,
        steps=config.steps, adapter_dtype=config.adapter_dtype,
        loss_before=outcome.before.loss, loss_after=after.loss,
        visibility=seen.values, verdicts=seen.verdicts, largest_coefficient=seen.largest,
        rounding_floor=seen.floor,
        coefficients=outcome.kappa.tolist(), coefficient_drift=after.coefficient_drift,
        flips=after.flips, feature_cosine=after.feature_cosine,
        feature_cosine_mean=sum(after.feature_cosine) / len(after.feature_cosine),
        feature_cosine_min=min(after.feature_cosine), weight_change=after.weight_change,
        kink_distance={name: KinkDistance(median=item.median, smallest=item.smallest)
                       for name, item in after.kink_distance.items()},
        seconds=outcome.seconds, spectrum={name: LayerSpectrum(**values) for name, values in
                                                   _spectra(run, checkpoint, full=config.adaptation == "full").items()},
        problem=problem.name, data_source=problem.data.source, limits=_limits(config, checkpoint, outcome, seen))


def _spectra(run: Run, checkpoint: Checkpoint, *, full: bool) -> dict[str, dict[str, Any]]:
    """Of the files as they are released: rounding included. {} where nothing of the update is left in them."""
    try:
        if full:
            tuned = load_checkpoint(run.file("tuned.safetensors")).network
            return spectra(weight_delta(checkpoint.network, tuned, ThreatModel()))
        return spectra(AdapterDelta(checkpoint.network, load_adapter(run.file("adapter"), checkpoint), ThreatModel()))
    except InputError:
        return {}


def _limits(config: FinetuneConfig, checkpoint: Checkpoint, outcome: Finetuning, seen: Visibility) -> list[str]:
    """What will hinder an attack, in sentences."""
    limits = list(seen.notes)
    if "indices" not in checkpoint.facts:
        limits.append("The base does not say what it was trained on, so overlap with the private samples cannot be "
                      "checked.")
    elif config.selection == "trained" and config.indices is None:
        limits.append("The base was trained on these very samples: they are not private, and their loss coefficients "
                      f"are at most {seen.largest:.1e}.")
    lowest = min(outcome.after.feature_cosine)
    if lowest < STABLE_COSINE or outcome.after.weight_change > NTK_WEIGHT_CHANGE:
        limits.append(f"Training left the NTK regime (lowest feature cosine {lowest:.3f}, weight change "
                      f"{outcome.after.weight_change:.1e}): features frozen at the base describe "
                      f"{'the later steps' if config.steps > 1 else 'any further step'} only roughly.")
    if config.optimizer == "adamw":
        limits.append("AdamW rescales every weight's gradient, so the update is no sum of the samples' features and "
                      "the coefficients are only each sample's pull on the loss.")
    if config.weight_decay > 0:
        limits.append(f"Weight decay shrinks the {'weights' if config.adaptation == 'full' else 'adapter'} between "
                      "steps; the coefficients do not include that.")
    return limits
