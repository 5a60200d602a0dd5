"""What the algebraic attack reads out of published adapters, over cases and seeds: the table of docs/results.md.

    python -m benchmarks.algebraic_quality [--seeds 0,1,2,3,4] [--cases n1-r8,n4-r8] [--base FILE] [--json FILE]

A seed draws the private digits (visible ones) and the adapter's A; nothing is tuned on them. Plain peft adapters
on layers.0 and layers.1 are attacked through the command line, with the two files and nothing else known. Trains a
base with the default config where none is named. Scores are means over all N targets; seconds are of the whole command.
``--json`` writes rows for the forecast (`core.studies.forecast`), keeping rows of other cases; the last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from core.assessment.matching import match
from core.cli.launch import run_here
from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.runs.store import RunStore

CASES: dict[str, dict] = {  # name: knobs of the fine-tuning
    **{f"n1-r{rank}": {"samples": 1, "rank": rank} for rank in (1, 8, 32, 64)},
    **{f"n4-r{rank}": {"samples": 4, "rank": rank} for rank in (8, 32, 64)},
    **{f"n8-r{rank}": {"samples": 8, "rank": rank} for rank in (16, 64, 128)},
    "n2-r128": {"samples": 2, "rank": 128},
    "n2-r128-float64": {"samples": 2, "rank": 128, "adapter_dtype": "float64", "precision": "float64"},
    "n8-r128-float64": {"samples": 8, "rank": 128, "adapter_dtype": "float64", "precision": "float64"},
    **{f"n2-t10-r{rank}": {"samples": 2, "rank": rank, "steps": 10} for rank in (8, 64)},
    "n2-t10-lr1e-2-r8": {"samples": 2, "rank": 8, "steps": 10, "learning_rate": 0.01},
    "n2-t10-lr1e-2-r64": {"samples": 2, "rank": 64, "steps": 10, "learning_rate": 0.01},
    "n2-t100-r64": {"samples": 2, "rank": 64, "steps": 100},
    "n4-bfloat16-r64": {"samples": 4, "rank": 64, "adapter_dtype": "bfloat16"},
    "n2-adamw-r64": {"samples": 2, "rank": 64, "optimizer": "adamw", "learning_rate": 1e-5},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--base", help="a checkpoint file")
    parser.add_argument("--method", default="algebraic")
    parser.add_argument("--json", type=Path, help="file of rows for the forecast")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(folder)
        base = Path(chosen.base).absolute() if chosen.base else _run(store, PretrainConfig()) / "result.safetensors"
        found = {name: [_attack(store, base, CASES[name], seed, chosen.method, name)
                        for seed in map(int, chosen.seeds.split(","))] for name in chosen.cases.split(",")}
    if chosen.json:
        _write(chosen.json, chosen.method, found)
    pool = [(trust, ssim) for attacks in found.values() for one in attacks
            for trust, ssim in zip(one["confidence"], one["sample_ssim"], strict=True)]
    print(json.dumps({"ssim": {name: [one["ssim"] for one in attacks] for name, attacks in found.items()},
                      "psnr": {name: [one["psnr"] for one in attacks] for name, attacks in found.items()},
                      "seconds": {name: [one["seconds"] for one in attacks] for name, attacks in found.items()},
                      "samples_right": _share([one["samples_right"] for one in _all(found)]),
                      "labels_right": _share([right for one in _all(found) for right in one["labels_right"]]),
                      "confidence_spearman": _spearman(pool)}))


def _run(store: RunStore, config: PretrainConfig | FinetuneConfig) -> Path:
    run = store.create(config)
    if run_here(run) != 0:
        raise SystemExit(f"{config.kind} failed: {run.status().message}")
    return run.path


def _attack(store: RunStore, base: Path, knobs: dict, seed: int, method: str, name: str) -> dict:
    victim = _run(store, FinetuneConfig(base=str(base), seed=seed, **knobs))
    out = store.root / f"attack-{name}-{seed}"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "core", "attack", "--checkpoint", str(base), "--adapter",
                           str(victim / "adapter"), "--method", method, "--seed", str(seed), "--out", str(out)],
                          capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"{name} seed {seed}: {done.stderr.strip().splitlines()[-1]}")
    truth, report = load_file(victim / "result.safetensors"), json.loads((out / "report.json").read_text())
    x = load_file(out / "reconstruction.safetensors")["x"]
    targets = len(truth["x"])
    result = {"ssim": 0.0, "psnr": 0.0, "seconds": round(seconds, 1), "samples_right": len(x) == targets,
              "labels_right": [False] * targets, "confidence": [], "sample_ssim": []}
    if len(x):
        scored = match(x, truth["x"].float())
        pairs = [(target, found) for target, found in enumerate(scored.assignment) if found is not None]
        result |= {"ssim": round(scored.mean("ssim"), 3), "psnr": round(scored.mean("psnr"), 1),
                   "labels_right": [report["labels"][found] == int(truth["labels"][target]) for target, found in pairs],
                   "confidence": [report["confidence"][found] for _, found in pairs],
                   "sample_ssim": [scored.values["ssim"][target] for target, _ in pairs]}
    print(f"{name:18s} seed {seed}: mean SSIM {result['ssim']:.3f} over {targets} targets, PSNR {result['psnr']:.0f} "
          f"dB, {len(x)} found, labels {sum(result['labels_right'])}/{targets}, {report['status']}, {seconds:.0f} s",
          flush=True)
    return result


def _write(path: Path, method: str, found: dict[str, list[dict]]) -> None:
    """Merge into the file: a case measured again replaces its row."""
    rows = json.loads(path.read_text()) if path.exists() else []
    for name, attacks in found.items():
        knobs = CASES[name]
        row = {"method": method, "samples": knobs["samples"], "rank": knobs["rank"], "steps": knobs.get("steps", 1),
               "optimizer": knobs.get("optimizer", "sgd"), "dtype": knobs.get("adapter_dtype", "float32"),
               "learning_rate": knobs.get("learning_rate", FinetuneConfig.model_fields["learning_rate"].default),
               "threat": "released-only", **{key: [one[key] for one in attacks] for key in ("ssim", "psnr", "seconds")}}
        same = ("method", "samples", "rank", "steps", "optimizer", "dtype", "learning_rate", "threat")
        rows = [old for old in rows if any(old.get(key) != row[key] for key in same)] + [row]
    path.write_text(json.dumps(rows, indent=1) + "\n")


def _all(found: dict[str, list[dict]]) -> list[dict]:
    return [one for attacks in found.values() for one in attacks]


def _share(right: list[bool]) -> float:
    return round(sum(right) / max(1, len(right)), 4)


def _spearman(pairs: list[tuple[float, float]]) -> float | None:
    if len(pairs) < 3:
        return None
    ranks = [torch.tensor([pair[side] for pair in pairs], dtype=torch.float64).argsort().argsort().double()
             for side in (0, 1)]
    return round(float(torch.corrcoef(torch.stack(ranks))[0, 1]), 3)


if __name__ == "__main__":
    main()
