"""From a pretraining run's config to its files: data, network, training, checkpoint, report."""

import time
from typing import Any

import torch

from core.artifacts.checkpoint import save_checkpoint
from core.config.pretrain import PretrainConfig
from core.data.problems import Problem, open_problem
from core.diagnostics.accuracy import accuracy
from core.diagnostics.plane import landscape
from core.host.compute import choose
from core.io.errors import InputError
from core.io.files import finite, write_json
from core.models.conv import ConvNet, Network
from core.models.mlp import MLP, init_small_first_layer
from core.runs.directory import Run
from core.runs.recorder import Recorder
from core.runs.reports.training import PretrainReport
from core.training.pretrain import pretrain

ENDINGS = {
    "reached_target": "The target loss was reached.",
    "flat": "The KKT residual is flat at the target loss.",
    "epochs": "All epochs were used before the target loss was reached, or the KKT residual was flat.",
    "stalled": "No step lowered the loss any more at this precision.",
    "stopped": "Stopped on request; Resume continues from here.",
}


def execute(run: Run, config: PretrainConfig, recorder: Recorder) -> None:
    """Train a base; writes ``result.safetensors`` and ``report.json``, at a stop too: a stopped base is a base."""
    earlier, began = run.status().seconds, time.monotonic()  # of attempts before this one
    compute = choose(device=config.device, precision=config.precision)
    # "auto" is settled at the first attempt: a resumed run keeps its data, even if a download has become possible.
    problem = open_problem(config.problem, source=run.status().summary.get("data_source", config.data_source),
                           seed=config.seed, samples_per_class=config.samples_per_class)
    data = problem.data
    recorder.summary(data_source=data.source)
    indices = problem.select_training(config.samples_per_class)
    images, labels = problem.images(indices), problem.labels[indices]
    recorder.log(f"{len(indices)} training {problem.kind.noun}s. {data.description}. {compute.describe()}, "
                 f"{torch.get_num_threads()} threads.")

    network = new_network(config, images, classes=len(problem.kind.classes))
    network.to(device=compute.device, dtype=compute.dtype)
    outcome = pretrain(network, compute.place(images), labels.to(compute.device), optimizer=config.optimizer,
                       learning_rate=config.learning_rate, epochs=config.epochs, monitor=recorder,
                       target_log_loss=config.target_log_loss, flat=config.flat, record_every=config.record_every,
                       weight_decay=config.weight_decay)
    recorder.log(ENDINGS[outcome.status])

    held_out = problem.holdout(indices)
    holdout_accuracy = accuracy(network, problem.images(held_out), problem.labels[held_out])
    measured = outcome.stationarity
    numbers: dict[str, Any] = {"log_loss": outcome.log_loss, "train_error": outcome.train_error,
                               "kkt_residual": measured.residual}
    save_checkpoint(run.file("result.safetensors"), network, facts(config, problem, indices, numbers, holdout_accuracy))
    if problem.kind.modality.planar:
        pull = measured.multipliers.tolist()
        write_json(run.file("plane.json"), finite({
            **landscape(network, margin=measured.margin * measured.norm ** len(network.layers)), "x": images.tolist(),
            "labels": labels.tolist(), "multipliers": pull}))
    report = PretrainReport(
        **numbers, epochs=outcome.epochs, margin=measured.margin, median_margin=measured.median_margin,
        norm=measured.norm, decay_residual=outcome.decay.residual,
        implied_weight_decay=outcome.decay.weight_decay, layer_residuals=measured.layer_residuals,
        alignments=measured.alignments,
        support_samples=len(measured.active), holdout_accuracy=holdout_accuracy,
        holdout_samples=len(held_out), samples=len(indices), problem=problem.name, data_source=data.source,
        data_description=data.description, reached_target=outcome.status in ("reached_target", "flat"),
        ending=ENDINGS[outcome.status], seconds=round(earlier + time.monotonic() - began, 3))
    write_json(run.file("report.json"), report.stored())
    recorder.summary(**numbers, samples=len(indices), holdout_accuracy=holdout_accuracy)


def new_network(config: PretrainConfig, images: torch.Tensor, *, classes: int = 2) -> Network:
    """The untrained network, of one logit for two classes: Haim's initialisation, drawn on the CPU in float32 so that
    every device gets the same."""
    shape = tuple(images.shape[1:])
    outputs = 1 if classes == 2 else classes
    if config.network == "conv" and outputs > 1:
        raise InputError(f"network: conv has one logit, for two classes, and this problem has {classes}; choose mlp.")
    network = (MLP([images[0].numel(), config.hidden, config.hidden, outputs], image_shape=shape)
               if config.network == "mlp" else
               ConvNet(channels=[config.channels], kernels=[config.kernel], strides=[config.stride], paddings=[0],
                       hidden=[config.hidden], image_shape=shape))
    init_small_first_layer(network, scale=config.init_scale, generator=torch.Generator().manual_seed(config.seed))
    network.input_mean.copy_(images.mean(0))
    return network.requires_grad_(False)


def facts(config: PretrainConfig, problem: Problem, indices: torch.Tensor, numbers: dict[str, float],
          holdout_accuracy: float) -> dict[str, Any]:
    """What the checkpoint says about itself; fine-tuning reads data_source and indices to keep off them."""
    return {"problem": problem.name, "data_source": problem.data.source, "data_description": problem.data.description,
            "indices": indices.tolist(), "labels": problem.labels[indices].tolist(),
            "holdout": {"samples": len(problem.data) - len(indices), "accuracy": holdout_accuracy},
            **numbers, "config": config.model_dump(mode="json")}
