"""From files made elsewhere to what an adversary sees: a base, and beside it an adapter or a tuned checkpoint."""

from dataclasses import replace
from pathlib import Path

import torch

from core.artifacts.checkpoint import Checkpoint, load_checkpoint
from core.artifacts.input_statistics import given_statistics
from core.artifacts.lora_folder import read_adapter
from core.config.attack import AttackKnobs
from core.io.errors import InputError
from core.models.mlp import MLP
from core.threat.merged import unmerged
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, Observation, TrainedWeights, TransformerAdapter
from core.threat.update import weight_delta


def observe_files(config: AttackKnobs) -> Observation:
    """An observation of files made elsewhere: what is not given is not known."""
    if not config.checkpoint:
        raise InputError("checkpoint: name the base checkpoint, or in finetune a fine-tuning run of this laboratory.")
    if config.adapter and config.tuned:
        raise InputError("tuned: an adapter is named as well; name the one that was released.")
    if config.threat == "oracle":
        raise InputError("threat: oracle knows the coefficients of a fine-tuning run of this laboratory; for files "
                         "made elsewhere give what you know, or choose released-only.")
    if config.labels is not None and config.samples not in (None, len(config.labels)):
        raise InputError(f"labels: {len(config.labels)} labels are given for {config.samples} samples; give one a "
                         "sample.")
    checkpoint = load_checkpoint(config.checkpoint)
    labels = None if config.labels is None else torch.tensor(config.labels)
    samples = config.samples if labels is None else len(labels)
    threat = ThreatModel(samples=samples, labels=labels, learning_rate=config.known_learning_rate,
                         steps=config.known_steps)
    transformer = checkpoint.network.attends
    if transformer and not config.adapter:
        raise InputError("adapter: of a vision transformer only its adapter is attacked; name its folder.")
    if config.tuned or (config.adapter and not transformer):
        fully_connected(checkpoint, "checkpoint")
    # Read first: both are compared with the base as its file has it.
    adapter = read_adapter(config.adapter, checkpoint) if config.adapter else None
    tuned = load_tuned(config.tuned, checkpoint) if config.tuned else None
    given_statistics(checkpoint.network, mean=config.input_mean, std=config.input_std)
    said = "given" if config.input_mean or config.input_std else checkpoint.inputs_said
    if adapter is not None:
        kind = TransformerAdapter if transformer else AdapterDelta
        return kind(checkpoint.network, adapter.layers, threat, inputs_said=said, notes=adapter.notes)
    if tuned is not None:
        return replace(unmerged(weight_delta(checkpoint.network, tuned, threat)), inputs_said=said)
    return TrainedWeights(checkpoint.network, threat, inputs_said=said)


def load_tuned(path: str | Path, checkpoint: Checkpoint) -> MLP:
    """A fully fine-tuned network; raises `InputError` where its file names another base than `checkpoint`."""
    try:
        tuned = load_checkpoint(path)
    except InputError as error:
        raise InputError(f"tuned{str(error).removeprefix('checkpoint')}") from error
    recorded = tuned.facts.get("base_fingerprint", checkpoint.fingerprint)  # made elsewhere: shapes are compared
    if recorded != checkpoint.fingerprint:
        raise InputError(f"tuned: {path} was trained on another base (fingerprint {str(recorded)[:12]}…, this base has "
                         f"{checkpoint.fingerprint[:12]}…); name the checkpoint it was trained on.")
    return fully_connected(tuned, "tuned").network


def fully_connected(checkpoint: Checkpoint, field: str) -> Checkpoint:
    """`checkpoint` where its network is one, of one logit; raises `InputError`, which names `field`."""
    if checkpoint.network.attends:
        raise InputError(f"{field}: this base is a vision transformer, and that is there for fully connected networks "
                         "only; attack an adapter of it that was made elsewhere, or name an mlp base.")
    if not checkpoint.network.fully_connected:
        raise InputError(f"{field}: this base has convolutions, and fine-tuning and attacks on updates are there for "
                         "fully connected networks only; attack the base alone with kkt, or name an mlp base.")
    if checkpoint.network.outputs > 1:
        raise InputError(f"{field}: this base has {checkpoint.network.outputs} outputs, and fine-tuning and attacks on "
                         "updates are there for one logit only; attack the base alone with kkt, or name a base of two "
                         "classes.")
    return checkpoint
