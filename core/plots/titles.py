"""What a run is called where it has no name of its own."""

from collections.abc import Sequence
from pathlib import Path

from core.config.experiment import ExperimentConfig
from core.config.finetune import FinetuneConfig
from core.config.knob import RunConfig
from core.config.pretrain import PretrainConfig
from core.data.catalogue import KINDS
from core.io.wording import counted
from core.reconstruction import registry
from core.runs.directory import Run
from core.runs.kinds import AttackConfig, SearchConfig
from core.runs.status import Status
from core.studies.experiments.presets import PRESETS


def title(config: RunConfig, status: Status | None = None) -> str:
    """The run's own name, or one made of what it does; `status` tells which method auto took."""
    if config.name:
        return config.name
    if isinstance(config, FinetuneConfig):
        count = len(config.indices) if config.indices else config.samples
        how = f"rank {config.rank}" if config.adaptation == "lora" else "all weights"
        return f"N = {count}, {how}, T = {config.steps}"
    if isinstance(config, ExperimentConfig):
        return f"{PRESETS[config.preset].title}, {config.size}"
    if isinstance(config, SearchConfig):
        oracle = ", oracle" if config.objective == "ssim" else ""
        return f"{registry.title(config.method)}, {counted(len(config.knobs), 'knob')}{oracle}"
    if isinstance(config, AttackConfig) and not config.finetune:
        return f"Attack on {Path(config.adapter or config.tuned or config.checkpoint).name}"
    if isinstance(config, AttackConfig):
        method = (status.summary.get("method") if status else None) or config.method
        return f"{registry.title(method)}, {config.threat}"
    assert isinstance(config, PretrainConfig)
    kind = "Convolutional base" if config.network == "conv" else "Base"
    problem = KINDS[config.problem]
    return f"{kind} {config.hidden} wide, {problem.counted(len(problem.classes) * config.samples_per_class)}"


def unique_titles(runs: Sequence[Run]) -> dict[Run, str]:
    """Titles for legends and columns; where two are alike, the end of the id tells them apart."""
    plain = {run: title(run.config(), run.status()) for run in runs}
    names = list(plain.values())
    return {run: name if names.count(name) == 1 else f"{name} ({run.id.rsplit('-', 1)[-1]})"
            for run, name in plain.items()}
