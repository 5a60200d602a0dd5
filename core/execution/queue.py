"""Runs as jobs: Dask places each as a child process on a worker, here or on a real cluster.

Without further settings the cluster is the embedded one (`core.execution.embedded`). With
``AFTERIMAGE_SCHEDULER`` set to an address (``tcp://host:8786``) or to a scheduler file, it is that
one, for example a dask-jobqueue cluster::

    from dask_jobqueue import LSFCluster
    cluster = LSFCluster(cores=1, memory="16GB", scheduler_options={"scheduler_file": "scheduler.json"},
                         job_extra_directives=['-gpu "num=1:mode=exclusive_process"'],
                         worker_extra_args=["--resources", "GPU=1"],
                         job_script_prologue=["export PYTHONPATH=/path/to/this/checkout"])
    cluster.scale(jobs=4)

Scheduler and workers there need this checkout, its packages and the runs folder under the same paths.
The functions return at once; what becomes of a run is in its directory.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.execution import embedded
from core.execution.queue_entry import enter_queue, leave_queue, waiting
from core.execution.worker import settle, supervise
from core.io.errors import InputError
from core.runs.directory import Run

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER = "AFTERIMAGE_SCHEDULER"
CONNECT_SECONDS = 10.0
ACCEPT_SECONDS = 10.0


def submit(run: Run) -> None:
    """Queue a *pending* run; raises `InputError` if it is none.

    Where there is no cluster to place it on, that is raised as well, and the run ends as *failed*: it can be resumed.
    """
    run.config()  # a run without its config fails here and not in the queue
    key = enter_queue(run)
    try:
        recover(run.path.parent)
    except InputError as error:
        leave_queue(run, key)
        settle(run, "failed", str(error))
        raise


def stop(run: Run) -> None:
    """Ask a run to stop; its worker sends SIGTERM and then SIGKILL to one that does not."""
    run.request_stop()


def resume(run: Run) -> None:
    """Queue a stopped, failed or interrupted run again; it continues from its checkpoint."""
    run.reset_for_resume()
    submit(run)


def recover(root: Path) -> int:
    """Place every run that waits in the queue of `root`, and start the cluster if any does; returns their number.

    Harmless to repeat: Dask knows a key it already has. Call it when a dashboard starts: a cluster that died
    or a reboot leaves entries behind.
    """
    queue = waiting(root)
    if queue:
        with _connect(root) as (client, offered):
            _place(client, offered, queue)
    return len(queue)


def _place(client: "Client", offered: frozenset[str], queue: list[tuple[Run, str]]) -> None:
    from distributed import fire_and_forget

    futures = []
    for run, key in queue:
        device = "CPU" if run.config().device == "cpu" or "GPU" not in offered else "GPU"
        resources = {device: 1} if device in offered else None  # a foreign cluster may declare none at all
        futures.append(client.submit(supervise, str(run.path.resolve()), key, key=key, pure=False, retries=0,
                                     resources=resources))
    # The scheduler takes a graph in its own time, and forgets what this client asked for once it closes, unless
    # the tasks are known by then and somebody else wants them.
    keys = [future.key for future in futures]
    deadline = time.monotonic() + ACCEPT_SECONDS
    while None in client.sync(client.scheduler.get_task_status, keys=keys).values():
        if time.monotonic() > deadline:
            raise InputError("cluster: the scheduler did not take the job; it must run the same packages and checkout "
                             "as this process (see its log).")
        time.sleep(0.02)
    fire_and_forget(futures)


@contextlib.contextmanager
def _connect(root: Path) -> Iterator[tuple["Client", frozenset[str]]]:
    """A client that is closed again, so that its threads do not pile up in a server, and the resources on offer."""
    from distributed import Client

    foreign = os.environ.get(SCHEDULER)
    cluster = embedded.ensure(root) if not foreign else embedded.Cluster(_foreign_address(foreign), frozenset())
    try:
        client = Client(cluster.address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        remedy = f"check {SCHEDULER}" if foreign else "run `python -m core cluster stop`, then try again"
        raise InputError(f"cluster: the scheduler at {cluster.address} does not answer; {remedy}.") from error
    with client:
        offered = cluster.resources
        if foreign:
            workers = client.scheduler_info()["workers"].values()
            offered = frozenset(name for worker in workers for name in worker["resources"])
        yield client, offered


def _foreign_address(setting: str) -> str:
    if "://" in setting:
        return setting
    try:
        return str(json.loads(Path(setting).read_text())["address"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{SCHEDULER}: {setting} is neither an address (tcp://host:port) nor a scheduler file "
                         f"({error}).") from error
