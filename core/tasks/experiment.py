"""An experiment: fine-tunings and attacks of a grid, each a run of its own beside this one, one after another.

Children are found again by their ids, ``finetune-NAME-001``, ``attack-NAME-001``, …: what has ended is never done
again, so that Stop, a kill and Resume cost at most the child that was under way. A child that fails marks its
points as failed and the experiment goes on.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import torch

from core.artifacts.checkpoint import Checkpoint
from core.config.experiment import ExperimentConfig
from core.config.finetune import FinetuneConfig
from core.execution.worker import supervise
from core.io.errors import InputError
from core.io.files import write_atomic, write_json
from core.io.wording import counted
from core.reconstruction.registry import named
from core.runs.directory import Run
from core.runs.kinds import parse_config
from core.runs.recorder import Recorder
from core.runs.reports.attack import AttackReport
from core.runs.reports.studies import ExperimentReport, ExperimentRow
from core.runs.reports.training import FinetuneReport, PretrainReport
from core.studies.experiments.grid import count_runs, expand, grid_values, label, preset_of, victim_label
from core.studies.experiments.point import Point
from core.studies.experiments.presets import OWN
from core.studies.experiments.table import point_row, to_csv
from core.tasks.child import child_run
from core.tasks.inputs import base_file, resolve_base
from core.threat.observe_files import fully_connected

WATCH_SECONDS = 0.3
STATIONARY_LOSS = 0.01     # above it, a network is far from what the KKT identity describes
LEFT_ALONE_SECONDS = 30.0  # a child whose experiment was killed needs a moment to notice, and to stop


def execute(run: Run, config: ExperimentConfig, recorder: Recorder) -> None:
    """Run the grid; one row of metrics.jsonl a point, then ``table.csv`` and, last, ``report.json``.

    A stop leaves the rows so far and no report.
    """
    # a wrong base is said once, not at every point
    base = None if config.base == OWN else resolve_base(run, config.base)
    if base is not None and not preset_of(config).arms:
        fully_connected(base, "base")
    points = expand(config) if base is None else expand(config, width=adapted_width(base), digits=_digits(config, base))
    saved = recorder.load_checkpoint()
    finished = saved[1]["step"] if saved else 0
    finetunings, attacks = count_runs(points)
    already = f"; {counted(finished, 'point')} done before" if finished else ""
    noun = "fine-tuning" if preset_of(config).finetunes else "pretraining"
    recorder.log(f"{preset_of(config).title}, {config.size}: {counted(finetunings, noun)}, "
                 f"{counted(attacks, 'attack')}{already}.")
    recorder.progress(finished, len(points))
    for number, point in enumerate(points[finished:], start=finished + 1):
        row = _execute_point(run, recorder, point, number, config.base)
        if row is None:
            recorder.log(f"Stopped after {number - 1} of {len(points)} points; Resume continues from here.")
            return
        recorder.record(number, **row.stored())
        recorder.save_checkpoint({}, {"step": number})  # rows up to here outlive a resume
        recorder.progress(number, len(points))
        recorder.summary(**_counts(run.table(ExperimentRow)))
    rows = run.table(ExperimentRow)
    write_atomic(run.file("table.csv"), to_csv(rows).encode())
    write_json(run.file("report.json"), _report(config, base, rows).stored())
    if all(row.state == "failed" for row in rows):
        raise InputError(f"preset: every point failed. The first said: {rows[0].reason}")


def adapted_width(base: Checkpoint) -> float:
    """Mean input width of the layers that a fine-tuning adapts by default."""
    names = FinetuneConfig.model_fields["layers"].default
    layers = [layer for index, layer in enumerate(base.network.layers) if f"layers.{index}" in names]
    return fmean(layer.weight[0].numel() for layer in layers) if layers else 1.0


def _digits(config: ExperimentConfig, base: Checkpoint) -> int:
    """Training digits of a base that is attacked alone; without them nothing could be scored."""
    digits = len(base.facts.get("indices", []))
    if preset_of(config).arms and not digits:
        raise InputError(f"base: {config.base} does not name its training digits, so no attack on it can be scored; "
                         f"name a pretraining run of this laboratory, or {OWN}.")
    return digits


def _execute_point(run: Run, recorder: Recorder, point: Point, number: int, base: str) -> ExperimentRow | None:
    """The row of a point; None where somebody asked to stop before it was finished."""
    kept: dict[str, Any] = {}
    try:
        if point.pretrain:
            own = child_run(run, f"pretrain-{_stem(run)}-{point.pretraining:03d}", parse_config({
                **point.pretrain, "name": f"{point.pretrain['name']}, seed {point.pretrain['seed']}"}))
            kept |= {"pretrain": own.id}
            if not _bring_to_end(own, recorder):
                return None
            _check(own, "pretraining")
            kept |= {"base": own.report(PretrainReport)}
            base = own.id
        if not point.finetune:
            return _attack_base(run, recorder, point, number, base, kept)
        victim = child_run(run, f"finetune-{_stem(run)}-{point.finetuning:03d}", parse_config(
            {**point.finetune, "base": base, "name": victim_label(point.varied)}))
        kept |= {"finetune": victim.id}
        if not _bring_to_end(victim, recorder):
            return None
        kept |= {"victim": victim.report(FinetuneReport), "finetune_seconds": victim.status().seconds}
        _check(victim, "fine-tuning")
        found = child_run(run, f"attack-{_stem(run)}-{number:03d}", parse_config(
            {**point.attack, "finetune": victim.id, "name": label(point.varied)}))
        kept |= {"attack": found.id}
        if not _bring_to_end(found, recorder):
            return None
        kept |= {"attack_seconds": found.status().seconds}
        _check(found, "attack")
        kept |= {"found": found.report(AttackReport)}
    except InputError as error:
        recorder.log(f"{label(point.varied)} failed: {error}")
        return point_row(point.varied, **kept, reason=str(error))
    return point_row(point.varied, **kept)


def _attack_base(run: Run, recorder: Recorder, point: Point, number: int, base: str,
                 kept: dict[str, Any]) -> ExperimentRow | None:
    """The row of an attack on a base alone. What is known of it goes into `kept`, also where it fails."""
    found = child_run(run, f"attack-{_stem(run)}-{number:03d}", parse_config(
        {**point.attack, "checkpoint": str(base_file(run, base)), "name": label(point.varied)}))
    kept |= {"attack": found.id}
    if not _bring_to_end(found, recorder):
        return None
    kept |= {"attack_seconds": found.status().seconds}
    _check(found, "attack")
    return point_row(point.varied, **kept, found=found.report(AttackReport))


def _stem(run: Run) -> str:
    return run.id.removeprefix("experiment-")


def _bring_to_end(child: Run, recorder: Recorder) -> bool:
    """Run the child unless it has ended; False where somebody asked this experiment to stop."""
    deadline = time.monotonic() + LEFT_ALONE_SECONDS
    while child.status().state in ("running", "stopping"):  # of an attempt of this experiment that was killed
        if recorder.should_stop() or time.monotonic() > deadline:
            break
        time.sleep(WATCH_SECONDS)
    if recorder.should_stop() and child.status().state not in ("done", "failed"):
        return False
    if child.status().state in ("stopped", "interrupted"):
        child.reset_for_resume()
    if child.status().state == "pending":
        recorder.summary(current=child.id)
        with _stop_passed_on(child, recorder):
            supervise(str(child.path), "", threads=torch.get_num_threads())
    return not (recorder.should_stop() and child.status().state in ("pending", "stopped", "interrupted"))


@contextlib.contextmanager
def _stop_passed_on(child: Run, recorder: Recorder) -> Iterator[None]:
    """While the block waits for the child: whatever stops this run asks the child to stop."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_SECONDS):
            if recorder.should_stop():
                child.request_stop()
                return

    watcher = threading.Thread(target=watch, daemon=True, name="stop-passed-on")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _check(child: Run, noun: str) -> None:
    status = child.status()
    if status.state != "done":
        raise InputError(f"{noun} {status.state}: {status.message or 'it did not say why; see its log.'}")


def _counts(rows: list[ExperimentRow]) -> dict[str, Any]:
    scores = [row.mean_ssim for row in rows if row.mean_ssim is not None]
    return {"points": len(rows), "failed": sum(row.state == "failed" for row in rows),
            "best_ssim": max(scores, default=None)}


def _report(config: ExperimentConfig, base: Checkpoint | None, rows: list[ExperimentRow]) -> ExperimentReport:
    preset, counts = preset_of(config), _counts(rows)
    of = "private samples of a point" if preset.finetunes else "training digits of the base"
    limits = [f"Scores are means over all {of}, matched one to one; each attack was chosen by its own residual."]
    if counts["failed"]:
        limits.insert(0, f"{counts['failed']} of {counts['points']} points failed; the table says why.")
    if not preset.finetunes:
        limits.append("A wrong release: the same images matched to digits that the base never saw. SSIM above 0.4 "
                      "happens with it as well, so both numbers stand beside their own.")
    told = [row.finding for row in rows if row.finding is not None]
    if not all(told):
        limits.append(f"{told.count(False)} of {counted(len(told), 'scored point')} are no better than the mean image "
                      "or than a wrong release: these are no findings.")
    trained = 0 if base is None or preset.arms else len(base.facts.get("indices", []))
    if named(preset.method).explains_weights and trained:
        limits.append(f"The KKT identity speaks of every sample that formed the weights: the {trained} digits of the "
                      "base's own training as well, which the attack cannot tell from the private ones.")
    losses = [row.loss_after for row in rows if row.loss_after is not None]
    far = sum(loss > STATIONARY_LOSS for loss in losses)
    if named(preset.method).explains_weights and far:
        limits.append(f"{far} of {counted(len(losses), 'fine-tuning')} ended far from stationarity (loss above "
                      f"{STATIONARY_LOSS:g}); more steps or a higher learning rate bring them closer.")
    if any(row.coefficients == "known" for row in rows):
        limits.append("Known coefficients are an oracle: a ceiling to compare with, no attack claim.")
    if config.rates == "matched" and not preset.arms:
        limits.append("LoRA's learning rate is matched to full fine-tuning at the first step; later steps differ, "
                      "since A and B then move together.")
    more = {"arms": [arm.name for arm in preset.arms]} if preset.arms else {"full": config.full}
    return ExperimentReport(preset=config.preset, size=config.size, title=preset.title, x=preset.x,
                            method=preset.method, base=config.base, base_fingerprint=base.fingerprint if base else None,
                            grid=grid_values(config) | more, **counts, table=rows, limits=limits)
