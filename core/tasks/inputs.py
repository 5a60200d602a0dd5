"""Finding what a config names: a base checkpoint, a victim, an adapter folder, a tuned checkpoint."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from core.artifacts.checkpoint import Checkpoint, load_checkpoint
from core.artifacts.input_statistics import given_statistics
from core.artifacts.lora_folder import load_adapter, read_adapter
from core.config.finetune import FinetuneConfig
from core.data.catalogue import DEFAULT
from core.io.errors import InputError
from core.models.mlp import MLP
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.store import RunStore
from core.threat.merged import unmerged
from core.threat.model import ThreatModel
from core.threat.observation import AdapterDelta, Observation, TrainedWeights
from core.threat.observe import Victim
from core.threat.update import weight_delta


def resolve_base(run: Run, base: str) -> Checkpoint:
    """The base checkpoint that `base` names: a pretraining run beside `run`, or a file."""
    return load_checkpoint(base_file(run, base))


def fully_connected(checkpoint: Checkpoint, field: str) -> Checkpoint:
    """`checkpoint` where its network is one, of one logit; raises `InputError`, which names `field`."""
    if not checkpoint.network.fully_connected:
        raise InputError(f"{field}: this base has convolutions, and fine-tuning and attacks on updates are there for "
                         "fully connected networks only; attack the base alone with kkt, or name an mlp base.")
    if checkpoint.network.outputs > 1:
        raise InputError(f"{field}: this base has {checkpoint.network.outputs} outputs, and fine-tuning and attacks on "
                         "updates are there for one logit only; attack the base alone with kkt, or name a base of two "
                         "classes.")
    return checkpoint


def base_file(run: Run, base: str) -> Path:
    """Where that checkpoint is."""
    store = RunStore(run.path.parent)
    is_run = Path(base).name == base and (store.root / base).is_dir()  # a run's name may hold a dot
    if not is_run and (Path(base).is_file() or Path(base).suffix or Path(base).name != base):
        return Path(base).absolute()
    pretraining = store.get(base)
    result = pretraining.file("result.safetensors")
    if (kind := pretraining.config().kind) != "pretrain":
        raise InputError(f"base: {base} is a run of kind {kind}; name a pretraining run or a checkpoint file.")
    if not result.is_file():
        raise InputError(f"base: the pretraining run {base} is {pretraining.status().state} and has no checkpoint yet; "
                         "let it finish first.")
    return result.absolute()


def victim_run(run: Run, finetune: str) -> Run:
    """The run that `finetune` names: an id beside `run`, or an absolute run directory."""
    return Run(finetune) if Path(finetune).is_absolute() else RunStore(run.path.parent).get(finetune)


def load_victim(run: Run, finetune: str) -> Victim:
    """The fine-tuning run `finetune`, an id beside `run` or an absolute run directory, with its secrets."""
    source = victim_run(run, finetune)
    config = source.config()
    if not isinstance(config, FinetuneConfig):
        raise InputError(f"finetune: {finetune} is a run of kind {config.kind}; name a fine-tuning run.")
    if source.report() is None:
        raise InputError(f"finetune: the run {finetune} is {source.status().state} and has released nothing yet; "
                         "let it finish first.")
    checkpoint, full = resolve_base(source, config.base), config.adaptation == "full"
    layers = {} if full else load_adapter(source.file("adapter"), checkpoint)
    tuned = load_tuned(source.file("tuned.safetensors"), checkpoint) if full else None
    try:
        truth = load_file(source.file("result.safetensors"))
        return Victim(checkpoint.network, layers, truth["x"], truth["labels"], truth["coefficients"],
                      config.learning_rate, config.steps, tuned, checkpoint.facts.get("problem", DEFAULT))
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"finetune: result.safetensors of {finetune} cannot be read ({error}); fine-tune "
                         "again.") from error


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


def observe_files(config: AttackConfig) -> Observation:
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
    if config.adapter or config.tuned:
        fully_connected(checkpoint, "checkpoint")
    # Read first: both are compared with the base as its file has it.
    adapter = read_adapter(config.adapter, checkpoint) if config.adapter else None
    tuned = load_tuned(config.tuned, checkpoint) if config.tuned else None
    given_statistics(checkpoint.network, mean=config.input_mean, std=config.input_std)
    said = "given" if config.input_mean or config.input_std else checkpoint.inputs_said
    if adapter is not None:
        return AdapterDelta(checkpoint.network, adapter.layers, threat, inputs_said=said, notes=adapter.notes)
    if tuned is not None:
        return replace(unmerged(weight_delta(checkpoint.network, tuned, threat)), inputs_said=said)
    return TrainedWeights(checkpoint.network, threat, inputs_said=said)
