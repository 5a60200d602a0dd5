"""Executing one run in this process: what ``python -m core run RUN_DIR`` does.

Each kind of run has a module here with ``execute(run, config, recorder)``; it is imported only
when a run of its kind begins.
"""

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from core.config.knob import RunConfig
from core.host.compute import choose, set_threads
from core.host.environment import environment
from core.host.hardware import slots
from core.host.products import PLAIN, choose_products, using
from core.io.errors import InputError
from core.io.files import write_json
from core.runs.directory import Run
from core.runs.recorder import Recorder, describe_failure

DONE, FAILED, BAD_INPUT, ABORTED = 0, 1, 2, 130
SUPERVISOR = "AFTERIMAGE_SUPERVISOR"  # pid of the process that placed this one; unset from a terminal
WATCH_SECONDS = 1.0


def execute(run: Run) -> int:
    """Execute a *pending* run here and end it; returns the exit code.

    0 done or stopped on request, 1 failed or interrupted, 2 bad input, 130 aborted by a second Ctrl-C. What went
    wrong is one line on stderr; a traceback is in the run's log.txt.
    """
    try:
        config = run.config()
        with Recorder(run) as recorder, _stop_on_signal(recorder), _stop_without_supervisor(recorder):
            _dispatch(run, config, recorder)
    except InputError as error:
        return complain(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return complain("aborted from the keyboard; resume continues from the last checkpoint.", ABORTED)
    except Exception as error:  # any engine's bug: the recorder has logged it, and the exit code tells
        return complain(describe_failure(error).replace("log.txt", str(run.file("log.txt"))), FAILED)
    return DONE if run.status().state in ("done", "stopped") else FAILED


def complain(sentence: str, code: int) -> int:
    """One line on stderr; returns `code`."""
    print(f"afterimage: {' '.join(sentence.split())}", file=sys.stderr, flush=True)
    return code


def _dispatch(run: Run, config: RunConfig, recorder: Recorder) -> None:
    compute = choose(device=config.device, precision=config.precision)
    threads = set_threads(slots())
    products = choose_products(compute, earlier=_earlier_products(run))
    write_json(run.file("environment.json"), environment(compute=compute, threads=threads, products=products))
    recorder.log(products.reason)
    with using(products):
        importlib.import_module(f"core.tasks.{config.kind}").execute(run, config, recorder)


def _earlier_products(run: Run) -> str | None:
    """Of a run that goes on from a checkpoint; before environments named them, products were torch's own."""
    before = run.environment() if run.file("checkpoint.safetensors").exists() else None
    return None if before is None else before.get("products", PLAIN)


@contextlib.contextmanager
def _stop_on_signal(recorder: Recorder) -> Iterator[None]:
    """Ctrl-C, a batch system's warning or a closed terminal: stop at the next step, with a checkpoint."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if recorder.stop_seen:
                raise KeyboardInterrupt
            recorder.ask_to_stop("Stopped from the keyboard.")
            os.write(2, b"\nafterimage: stopping at the next step; Ctrl-C again aborts.\n")  # print may be half-way
        elif recorder.run.file("STOP").exists():
            recorder.ask_to_stop("")
        else:
            recorder.ask_to_stop(f"Ended by {signal.Signals(number).name}: the batch system, a shutdown or a person. "
                                 "Resume continues from the last checkpoint.", state="interrupted")

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):  # LSF warns with SIGUSR2
        if signal.getsignal(number) is not signal.SIG_IGN:                         # nohup
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def _stop_without_supervisor(recorder: Recorder) -> Iterator[None]:
    """Stop when the Dask worker that started this process vanishes: its slot, and GPU, will be given away again."""
    supervisor = int(os.environ.get(SUPERVISOR, "0"))
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_SECONDS):
            if os.getppid() != supervisor:
                recorder.ask_to_stop("The worker that supervised this run vanished. Resume continues from the last "
                                     "checkpoint.", state="interrupted")
                return

    watcher = threading.Thread(target=watch, daemon=True, name="supervisor-watch")
    if supervisor:
        watcher.start()
    try:
        yield
    finally:
        ended.set()
