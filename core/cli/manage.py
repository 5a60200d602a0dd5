"""Commands that look at runs or manage them: list, show, stop, tune, report, export, cluster, demo."""

import argparse
import json
import os
import secrets
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

from core.cli.launch import find_run
from core.cli.options import parse_value, split_assignment
from core.io.errors import InputError
from core.io.files import write_atomic
from core.runs.directory import Run
from core.runs.kinds import KINDS
from core.runs.reports.read import Report
from core.runs.store import RunStore
from core.runs.tuning import request

PARENTS = ("experiment", "search")
NOT_EXPORTED = ("STOP", "job.json")
TUNE_SECONDS = 10.0  # a step of an attack is rarely longer


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Register this module's commands."""
    parser = commands.add_parser("list", help="Show all runs, newest first, and broken run directories.")
    parser.add_argument("--kind", choices=list(KINDS))
    parser.set_defaults(command=list_runs)
    parser = commands.add_parser("show", help="Print a run's config, status and report as JSON.")
    parser.add_argument("run", metavar="RUN", help="run directory or id")
    parser.set_defaults(command=show)
    parser = commands.add_parser("stop", help="Ask a run to stop at its next step, with a checkpoint.")
    parser.add_argument("run", metavar="RUN", help="run directory or id")
    parser.set_defaults(command=stop)
    parser = commands.add_parser(
        "tune", help="Change knobs of an attack that is running, from its next step on.",
        description="Change knobs of a running attack, for example: tune RUN --set lr_x=0.01 --set min_lambda=0.2. "
        "The run goes on as if it had had these values from its start; a repeat of it makes the same changes.")
    parser.add_argument("run", metavar="RUN", help="run directory or id")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments", required=True)
    parser.set_defaults(command=tune)
    parser = commands.add_parser("report", help="Write one run, or several side by side, as one HTML file.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="id or folder")
    parser.add_argument("--out", required=True, metavar="FILE", help="an HTML file; nothing is overwritten")
    parser.set_defaults(command=report)
    parser = commands.add_parser("export", help="Write a run, and the runs it builds on, into a zip file.")
    parser.add_argument("run", metavar="RUN", help="run directory or id")
    parser.add_argument("file", metavar="FILE.zip")
    parser.set_defaults(command=export)
    parser = commands.add_parser("cluster", help="Show or stop the embedded job queue of this machine.")
    parser.add_argument("action", choices=["status", "stop"])
    parser.set_defaults(command=cluster)
    parser = commands.add_parser("demo", help="Make the demo content, once: a base, a victim and an attack.")
    parser.set_defaults(command=demo)


def list_runs(args: argparse.Namespace) -> int:
    store = RunStore()
    rows = [_row(run) for run in store.list(kind=args.kind)]
    if rows:
        header = ("ID", "KIND", "STATE", "STEP", "NAME", "SUMMARY")
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        for row in [header, *rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        print(f"There are no runs in {store.root} yet; `python -m core pretrain` makes one.")
    for name, reason in store.broken().items():
        print(f"{name}  broken: {reason}")
    return 0


def _row(run: Run) -> tuple[str, ...]:
    config, status = run.config(), run.status()
    facts = " ".join(f"{name}={_short(value)}" for name, value in status.summary.items())
    step = f"{status.step}/{status.total}" if status.total else "-"
    return run.id, config.kind, status.state, step, config.name or "-", status.message or facts


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show(args: argparse.Namespace) -> int:
    run = find_run(args.run)
    report: Report | None = run.report()
    print(json.dumps({"id": run.id, "path": str(run.path), "config": run.config().model_dump(mode="json"),
                      "changes": [str(change) for change in run.changes()], "status": asdict(run.status()),
                      "report": report and report.stored()}, indent=2, ensure_ascii=False))
    return 0


def stop(args: argparse.Namespace) -> int:
    run = find_run(args.run)
    run.request_stop()
    print(f"{run.id} is {run.status().state}.")
    return 0


def tune(args: argparse.Namespace) -> int:
    """Ask, and wait until the run has made the changes."""
    run = find_run(args.run)
    model, before = type(run.config()), len(run.live_changes())
    asked = request(run, {name: parse_value(model, name, text)
                          for name, text in map(split_assignment, args.assignments)})
    deadline = time.monotonic() + TUNE_SECONDS
    while asked.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    made = run.live_changes()[before:]
    for change in made:
        print(f"From step {change.step:,} on: {change.knob} = {change.value:g}.")
    if not made:
        print(f"{run.id} has not made the change yet; its log will say when.")
    return 0


def export(args: argparse.Namespace) -> int:
    """Each run is a folder in the zip: unpacked into a runs folder, all of it reads as before."""
    target = _new_file("file", args.file)
    runs = _with_sources(find_run(args.run))
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for run in runs:
                for path in sorted(run.path.rglob("*")):
                    if path.is_file() and path.name not in NOT_EXPORTED and not path.name.startswith("."):
                        archive.write(path, Path(run.id) / path.relative_to(run.path))
        os.replace(partial, target)
    except OSError as error:
        raise _cannot_write("file", target, error) from error
    finally:
        partial.unlink(missing_ok=True)
    print(f"{target}: {', '.join(run.id for run in runs)}")
    return 0


def report(args: argparse.Namespace) -> int:
    """Needs nothing to be opened but a browser."""
    from core.report.build import report as written  # plotly is imported here alone

    target = _new_file("out", args.out)
    text = written([find_run(name) for name in args.runs])
    try:
        write_atomic(target, text.encode())
    except OSError as error:
        raise _cannot_write("out", target, error) from error
    print(target)
    return 0


def _new_file(argument: str, name: str) -> Path:
    target = Path(name).expanduser()
    if target.exists():
        raise InputError(f"{argument}: {target} exists already; name another file or delete it first.")
    return target


def _cannot_write(argument: str, target: Path, error: OSError) -> InputError:
    return InputError(f"{argument}: cannot write {target} ({error.strerror or error}); name another place.")


def _with_sources(run: Run) -> list[Run]:
    """The run, the fine-tuning it attacks and the base of that, as far as they are runs."""
    config = run.config()
    children = [Run(run.path.parent / name) for name in _children(run)] if config.kind in PARENTS else []
    if children:  # the last of them leads to the base that all share
        return [run, *children[:-1], *_with_sources(children[-1])]
    source = next((value for name in ("finetune", "base", "checkpoint") if (value := getattr(config, name, ""))), "")
    if not source:
        return [run]
    path = Path(source).parent if Path(source).name == "result.safetensors" else run.path.parent / source
    return [run, *_with_sources(Run(path))] if (path / "config.json").exists() else [run]


def _children(run: Run) -> list[str]:
    """Ids of the runs that its table names and that are there, attacks before what they attacked."""
    rows, _ = run.metrics()
    names = [row[kind] for kind in ("attack", "finetune") for row in rows if row.get(kind)]
    return [name for name in dict.fromkeys(names) if (run.path.parent / name / "config.json").exists()]


def cluster(args: argparse.Namespace) -> int:
    from core.execution import embedded
    from core.execution.queue_entry import waiting

    root = RunStore().root
    if args.action == "stop":
        embedded.shut_down(root)
        print("The job queue is stopped; runs that it executed stop with a checkpoint.")
        return 0
    for name, alive in embedded.describe(root).items():
        print(f"{name}  {'runs' if alive else 'is gone'}")
    print(f"{len(waiting(root))} runs wait.")
    return 0


def demo(args: argparse.Namespace) -> int:
    from core.cli.demo import make_demo

    make_demo(RunStore())
    return 0
