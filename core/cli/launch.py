"""Commands that make and execute runs: pretrain, finetune, attack, run, resume, sweep."""

import argparse
import itertools
import math
import re
import shutil
import sys
from pathlib import Path

from core.cli.options import add_knobs, build_config, parse_value, read_config, split_assignment
from core.cli.progress import progress_bar
from core.config.experiment import ExperimentConfig
from core.config.finetune import FinetuneConfig
from core.config.knob import RunConfig
from core.io.errors import InputError
from core.runs.directory import Run, create
from core.runs.kinds import KINDS, AttackConfig, parse_config
from core.runs.store import RunStore
from core.studies.experiments.presets import OWN

LEFT_BY_BAD_INPUT = ("config.json", "status.json", "environment.json", "log.txt", ".lock")
MOST_SWEEP_RUNS = 1000


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Register this module's commands."""
    for kind, model in KINDS.items():
        summary = (model.__doc__ or "").splitlines()[0]
        parser = commands.add_parser(kind, help=summary, description=summary)
        add_knobs(parser, model)
        parser.add_argument("--out", metavar="DIR", required=model is AttackConfig,
                            help="the run directory; new or without a run in it"
                            + ("" if model is AttackConfig else " (default: a new one among the runs)"))
        parser.set_defaults(command=lambda args, model=model: launch(model, args))
    parser = commands.add_parser("run", help="Execute a pending run directory here; what a job does.")
    parser.add_argument("run", metavar="RUN", help="run directory or id")
    parser.set_defaults(command=lambda args: run_here(find_run(args.run)))
    parser = commands.add_parser("resume", help="Continue a stopped, failed or interrupted run here.")
    parser.add_argument("run", metavar="RUN", help="run directory or id")
    parser.set_defaults(command=resume)
    parser = commands.add_parser(
        "sweep", help="Queue one run for every combination of --set values.",
        description="Queue one run for every combination, for example: sweep finetune --set base=ID --set rank=1,4,16 "
        "--set steps=1,10. Values of one knob are parted by commas; a list is one value in [brackets].")
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--config", metavar="FILE", help="JSON file with the knobs that all runs share")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=A,B,…", dest="assignments")
    parser.add_argument("--dry-run", action="store_true", help="only list the combinations")
    parser.set_defaults(command=sweep)


def launch(model: type[RunConfig], args: argparse.Namespace) -> int:
    """Make a run and execute it here; bad input leaves no run behind."""
    out = Path(args.out).expanduser().absolute() if args.out is not None else None
    config = anchor(build_config(model, args), out)
    existed = out is not None and out.exists()
    run = create(out, config) if out is not None else RunStore().create(config)
    try:
        code = run_here(run)
    except KeyboardInterrupt:  # before it began; later the run itself ends as stopped
        _discard(run, keep_folder=existed)
        raise
    if code == 2:
        _discard(run, keep_folder=existed)
    else:
        print(run.path)
    return code


def run_here(run: Run) -> int:
    """Execute a pending run in this process with a progress bar; returns the exit code."""
    with progress_bar(run):
        from core.tasks.execute import execute  # imports torch, which takes seconds: the bar is there before
        return execute(run)


def resume(args: argparse.Namespace) -> int:
    run = find_run(args.run)
    run.reset_for_resume()
    return run_here(run)


def find_run(text: str) -> Run:
    """A run by its directory, or by its id in the run store."""
    path = Path(text).expanduser()
    if path.name != text or (path / "config.json").exists():
        if not path.is_dir():
            raise InputError(f"run: there is no folder {text}.")
        return Run(path.absolute())
    return RunStore().get(text)


def anchor(config: RunConfig, out: Path | None) -> RunConfig:
    """Make files absolute, since a run may resume elsewhere, and ids as well where the run leaves the store.

    Engines look ids up beside the run itself.
    """
    store = RunStore()
    leaves = out is not None and out.parent.resolve() != store.root.resolve()
    changes = {}
    if isinstance(config, (FinetuneConfig, ExperimentConfig)) and config.base != OWN:
        changes["base"] = _anchored(config.base, store.get(config.base).file("result.safetensors")
                                    if leaves and not _is_path(config.base) else None)
    if isinstance(config, AttackConfig):
        if not config.finetune and not config.checkpoint:
            raise InputError("checkpoint: name the base with --checkpoint, or a fine-tuning run with --finetune.")
        changes["finetune"] = _anchored(config.finetune, store.get(config.finetune).path
                                        if leaves and config.finetune and not _is_path(config.finetune) else None)
        known = (config.samples, config.labels, config.known_learning_rate, config.known_steps)
        if not config.finetune and "threat" not in config.model_fields_set and known == (None,) * 4:
            changes["threat"] = "released-only"  # what is not given is not known
        changes |= {name: str(Path(value).expanduser().absolute()) for name in ("checkpoint", "adapter", "tuned")
                    if (value := getattr(config, name))}
        changes |= {name: str(Path(value).expanduser().absolute()) for name in ("input_mean", "input_std")
                    if Path(value := getattr(config, name)).expanduser().is_file()}  # else numbers
    return parse_config({**config.model_dump(), **changes})


def _is_path(value: str) -> bool:
    """A file or folder, and not the id of a run, which may hold a dot."""
    if Path(value).name == value and (RunStore().root / value).is_dir():
        return False
    return Path(value).name != value or bool(Path(value).suffix) or Path(value).is_file()


def _anchored(value: str, found: Path | None) -> str:
    if found is not None:
        return str(found.absolute())
    return str(Path(value).expanduser().absolute()) if value and _is_path(value) else value


def _discard(run: Run, *, keep_folder: bool) -> None:
    """Take back the run that this command made, so that the corrected command can have the same --out."""
    if run.metrics()[0] or run.file("checkpoint.safetensors").exists():
        return  # it computed before it found fault: that is worth keeping
    if not keep_folder:
        shutil.rmtree(run.path)
        return
    for name in LEFT_BY_BAD_INPUT:
        run.file(name).unlink(missing_ok=True)
    if not any(run.file("snapshots").iterdir()):
        run.file("snapshots").rmdir()


def sweep(args: argparse.Namespace) -> int:
    """Queue the grid; all of it is checked before the first run is made."""
    model = KINDS[args.kind]
    axes = {name: [parse_value(model, name, part) for part in _split(text)]
            for name, text in map(split_assignment, args.assignments)}
    count = math.prod(map(len, axes.values()))
    if count > MOST_SWEEP_RUNS:
        raise InputError(f"set: {count} combinations are more than {MOST_SWEEP_RUNS}; name fewer values.")
    shared = {**read_config(args.config, args.kind), "kind": args.kind}
    configs = [anchor(parse_config({**shared, **dict(zip(axes, values, strict=True))}), None)
               for values in itertools.product(*axes.values())]
    varied = [name for name, values in axes.items() if len(values) > 1]
    if not args.dry_run:
        from core.execution import queue
    for config in configs:
        facts = " ".join(f"{name}={getattr(config, name)}" for name in varied)
        if args.dry_run:
            print(facts)
            continue
        run = RunStore().create(config)
        queue.submit(run)
        print(f"{run.id}  {facts}")
    print(f"{len(configs)} runs {'would be queued' if args.dry_run else 'queued; `python -m core list` shows them'}.",
          file=sys.stderr)
    return 0


def _split(text: str) -> list[str]:
    """At commas outside brackets."""
    return re.split(r",(?![^\[]*\])", text)
