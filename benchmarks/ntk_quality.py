"""What the NTK attack reconstructs, over victims and seeds: the table of docs/results.md.

    python -m benchmarks.ntk_quality [--seeds 0,1,2,3,4] [--cases n2,r8] [--base RUN_OR_FILE] [--restarts 8]

A seed draws the private digits, the adapter's A and the attack's start; nothing is tuned on them. Trains a
base with the default config where none is named. The last line is JSON: mean SSIM over all targets, by case
and seed.
"""

import argparse
import json
import tempfile
from pathlib import Path

from core.config.finetune import FinetuneConfig
from core.config.knob import RunConfig
from core.config.pretrain import PretrainConfig
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.recorder import Recorder
from core.runs.store import RunStore
from core.tasks import attack, finetune, pretrain

CASES: dict[str, tuple[dict, dict]] = {  # name: knobs of the fine-tuning, knobs of the attack
    "n1": ({"samples": 1}, {}),
    "n2": ({}, {}),
    "n4": ({"samples": 4}, {}),
    "n2-released-only": ({}, {"threat": "released-only"}),
    "r128": ({"rank": 128}, {}),
    "r8": ({"rank": 8}, {}),
    "r1": ({"rank": 1}, {}),
    "t10": ({"steps": 10}, {}),
    "t100": ({"steps": 100}, {}),
    "adamw": ({"optimizer": "adamw"}, {}),
}
ENGINES = {"pretrain": pretrain, "finetune": finetune, "attack": attack}


def execute(store: RunStore, config: RunConfig) -> Run:
    run = store.create(config)
    with Recorder(run) as recorder:
        ENGINES[config.kind].execute(run, config, recorder)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--base", help="a run directory of a pretraining, or a checkpoint file")
    parser.add_argument("--restarts", type=int, default=AttackConfig.model_fields["restarts"].default)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(folder)
        if chosen.base:
            path = Path(chosen.base).absolute()
            base = str(path / "result.safetensors" if path.is_dir() else path)
        else:
            base = execute(store, PretrainConfig()).id
        results: dict[str, list[float]] = {}
        for name in chosen.cases.split(","):
            victim_knobs, attack_knobs = CASES[name]
            results[name] = []
            for seed in map(int, chosen.seeds.split(",")):
                victim = execute(store, FinetuneConfig(base=base, seed=seed, **victim_knobs))
                run = execute(store, AttackConfig(finetune=victim.id, seed=seed, restarts=chosen.restarts,
                                                  **attack_knobs))
                report = run.report()
                results[name].append(round(report.score.mean_ssim, 3))
                print(f"{name:17s} seed {seed}: mean SSIM {results[name][-1]:.3f} over {report.score.targets} "
                      f"targets, PSNR {report.score.mean_psnr:.0f} dB, residual "
                      f"{report.residuals['residual']:.1e}, {report.seconds:.0f} s", flush=True)
        print(json.dumps(results))


if __name__ == "__main__":
    main()
