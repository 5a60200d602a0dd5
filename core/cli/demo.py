"""The demo content of the first start: a base, a private fine-tuning, and attacks at two threat levels.

Ordinary runs under fixed ids, made by the same engines; nothing in them is prepared.
"""

import time

from core.cli.launch import run_here
from core.config.finetune import FinetuneConfig
from core.config.knob import RunConfig
from core.config.pretrain import PretrainConfig
from core.io.errors import InputError
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.store import RunStore

DEMO: dict[str, tuple[RunConfig, str]] = {
    "demo-base": (PretrainConfig(name="Demo base: 500 digits"), "pretraining a base on 500 real digits"),
    "demo-finetune": (FinetuneConfig(name="Demo victim: 2 private digits", base="demo-base", seed=1),
                      "fine-tuning it with LoRA on 2 private digits"),
    "demo-informed": (AttackConfig(name="Demo attack, informed", finetune="demo-finetune", seed=1,
                                   method="ntk"),  # a search: people watch its images form
                      "reconstructing them from the adapter, labels known"),
    "demo-released-only": (AttackConfig(name="Demo attack, released files only", finetune="demo-finetune", seed=2,
                                        threat="released-only"),
                           "reconstructing them with nothing known but the published files"),
}


def make_demo(store: RunStore) -> None:
    """Make what is missing of the demo, in order; returns at once where all of it is done.

    A demo run that was interrupted continues; one that somebody deleted is made again. Raises
    `InputError` where a step fails.
    """
    began, made = time.monotonic(), 0
    for number, (run_id, (config, what)) in enumerate(DEMO.items(), start=1):
        run = Run(store.root / run_id)
        state = run.status().state if run.file("status.json").exists() else None
        if state == "done":
            continue
        if state == "running":
            raise InputError(f"demo: {run_id} is running in another process; wait for it.")
        print(f"Demo {number} of {len(DEMO)}: {what} …", flush=True)
        if state is None:
            store.create(config, run_id=run_id)
        elif state != "pending":
            run.reset_for_resume()
        if run_here(run) != 0 or run.status().state != "done":
            raise InputError(f"demo: {run_id} did not finish ({run.status().message or run.status().state}); start "
                             "again to continue it.")
        made += 1
    if made:
        print(f"The demo is ready ({time.monotonic() - began:.0f} s).", flush=True)
