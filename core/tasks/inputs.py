"""Finding the runs that a config names: a base, a victim. Files made elsewhere: `core.threat.observe_files`."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from core.artifacts.checkpoint import Checkpoint, load_checkpoint
from core.artifacts.lora_folder import load_adapter
from core.config.finetune import FinetuneConfig
from core.data.catalogue import DEFAULT
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.store import RunStore
from core.threat.observe import Victim
from core.threat.observe_files import load_tuned


def resolve_base(run: Run, base: str) -> Checkpoint:
    """The base checkpoint that `base` names: a pretraining run beside `run`, or a file."""
    return load_checkpoint(base_file(run, base))


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
