"""A task in this process."""

from types import ModuleType

from core.config.knob import RunConfig
from core.runs.directory import Run
from core.runs.recorder import Recorder


def execute(module: ModuleType, run: Run, config: RunConfig) -> Run:
    with Recorder(run) as recorder:
        module.execute(run, config, recorder)
    return run
