"""Two ways to a wrong release: really attacking other people's adapters, and the draws that stand in for that.

    python -m benchmarks.wrong_release [--releases 8] [--cases n1-r64,n2-r8] [--hidden 200]

Fine-tunings of one base on private sets drawn by one rule, all attacked. *Attacked*: images of each release against the
private samples of each other one. *Drawn*: images of each release against sets of hold-out samples, which is what
every score has beside it (`core.assessment.controls` says why it is the same). *Right*: against its own. Means of SSIM
over all targets, with the deviation over pairs; the standard error of a difference is that of the releases, which are
few. The last line is JSON.
"""

import argparse
import json
import tempfile
from statistics import fmean, pstdev

import torch
from safetensors.torch import load_file

from benchmarks.ntk_quality import execute
from core.assessment.matching import match
from core.config.finetune import FinetuneConfig
from core.config.pretrain import PretrainConfig
from core.runs.kinds import AttackConfig
from core.runs.store import RunStore

CASES = {"n1-r64": {"samples": 1, "rank": 64}, "n2-r8": {"samples": 2, "rank": 8}, "n2-r64": {"samples": 2, "rank": 64}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--releases", type=int, default=8)
    parser.add_argument("--cases", default="n1-r64,n2-r8")
    parser.add_argument("--hidden", type=int, default=200)
    chosen = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(folder)
        base = execute(store, PretrainConfig(hidden=chosen.hidden, samples_per_class=100, epochs=200)).id
        for name in chosen.cases.split(","):
            found, truths, drawn, flat = [], [], [], []
            for seed in range(chosen.releases):
                victim = execute(store, FinetuneConfig(base=base, seed=seed, **CASES[name]))
                attack = execute(store, AttackConfig(finetune=victim.id, seed=seed, threat="released-only"))
                truths.append(load_file(victim.file("result.safetensors"))["x"].float())
                found.append(load_file(attack.file("reconstruction.safetensors"))["x"])
                controls = json.loads(attack.file("report.json").read_text())["score"]["controls"]
                drawn.append(controls["wrong_release"])
                flat.append(controls["mean_image"])
            pairs = [(i, j) for i in range(len(found)) for j in range(len(truths)) if i != j and len(found[i])]
            attacked = [match(found[i], truths[j]).mean("ssim") for i, j in pairs]
            right = [match(x, truth).mean("ssim") if len(x) else 0.0 for x, truth in zip(found, truths, strict=True)]
            results[name] = {key: [round(fmean(values), 4), round(pstdev(values), 4)] for key, values in (
                ("attacked", attacked), ("drawn", [value for value in drawn if value is not None]), ("right", right),
                ("mean_image", flat))}
            print(f"{name}: wrong release attacked {results[name]['attacked']}, drawn {results[name]['drawn']}; right "
                  f"release {results[name]['right']}, mean image {results[name]['mean_image']}", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
