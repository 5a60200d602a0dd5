"""A progress bar for a run, on stderr, where that is a terminal."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

from core.io.errors import InputError
from core.runs.directory import Run

REFRESH_SECONDS = 0.5
FACTS = ("log_loss", "loss", "residual", "error")  # of the last row of metrics, the first that is there


@contextlib.contextmanager
def progress_bar(run: Run) -> Iterator[None]:
    """Show the run's step, time left and loss while the block lasts; silent where stderr is a file or a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    from tqdm import tqdm

    ended = threading.Event()
    with tqdm(desc=run.id, total=None, unit="step", dynamic_ncols=True, file=sys.stderr) as bar:
        def show() -> None:
            offset = 0
            while not ended.wait(REFRESH_SECONDS):
                offset = _show(run, bar, offset)

        thread = threading.Thread(target=show, daemon=True, name="progress-bar")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            _show(run, bar, 0)


def _show(run: Run, bar: Any, offset: int) -> int:
    try:
        status = run.status()
        rows, offset = run.metrics(offset)
    except InputError:
        return offset  # a broken run: the command itself says so
    bar.total = status.total or None
    bar.n = status.step
    if rows:
        name = next((name for name in FACTS if isinstance(rows[-1].get(name), float)), None)
        if name:
            bar.set_postfix_str(f"{name.replace('_', ' ')} {rows[-1][name]:.4g}", refresh=False)
    bar.refresh()
    return offset
