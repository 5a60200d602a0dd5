"""Fits the map from facts to confidence on one half of the pool and measures it on the other.

    python -m benchmarks.confidence [--fit] [--pool benchmarks/confidence_pool.jsonl]

Needs the rows of `benchmarks.confidence_pool` and `benchmarks.vit_patches`. ``--fit`` writes
``assets/confidence.json``; without it the stored map
is measured. Printed: the Brier score (mean squared difference of confidence and outcome) of all methods together and
of each, beside that of the mean guess (always the share of recognisable images of the other half) and that of the
product of fit and agreement that was the confidence before; a table of the reliability diagram; what results claim
that their own status calls a guess. Images of one case count together as one. The last line is JSON.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from core.config.thresholds import RECOVERED
from core.reconstruction.calibration import CALIBRATION, FACTS, calibration
from core.reconstruction.confidence import GUESSES, ceiling, probability
from core.reconstruction.solvers.protocol import Status

POOL = Path(__file__).parent / "confidence_pool.jsonl"
RIDGE = 0.003  # of squared weights, beside the mean log loss of an image: facts that say the same share a weight
LEAST = 0.3    # a smaller weight is none
BINS = 5
METHODS = ("algebraic", "ntk", "kkt", "patches")


def images(rows: Sequence[dict], half: str) -> list[dict]:
    """Every image of that half, with its case's method, status and share of a case."""
    return [{**image, "method": row["found"], "status": Status[row["status"].upper()], "case": row["case"],
             "share": 1 / len(row["images"]), "recognisable": image["ssim"] > RECOVERED}
            for row in rows if row["half"] == half for image in row["images"]]


def fit(found: Sequence[dict]) -> dict[str, float | dict[str, float]]:
    """Logistic regression with weights >= 0 on how far each fact is unmet; then again with those left that count."""
    names = [name for name in FACTS if any(name in image["facts"] for image in found)]
    start, weights = _fitted(found, names)
    kept = [name for name, weight in zip(names, weights, strict=True) if weight >= LEAST]
    start, weights = _fitted(found, kept)
    return {"start": round(start, 2),
            "weights": {name: round(weight, 2) for name, weight in zip(kept, weights, strict=True) if weight >= LEAST}}


def _fitted(found: Sequence[dict], names: Sequence[str]) -> tuple[float, list[float]]:
    unmet = np.array([[FACTS[name].degree(image["facts"].get(name, FACTS[name].met)) for name in names]
                      for image in found]).reshape(len(found), len(names))
    sign = np.array([1.0 if image["recognisable"] else -1.0 for image in found])
    share = np.array([image["share"] for image in found])

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (values[0] - unmet @ values[1:])
        slope = -share / share.sum() * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        value = float((share * np.logaddexp(0, -margin)).sum() / share.sum())
        gradient = np.concatenate([[slope.sum()], -(slope[:, None] * unmet).sum(0)])
        return value + RIDGE / 2 * float(values @ values), gradient + RIDGE * values

    found_at = minimize(loss, np.zeros(1 + len(names)), jac=True, method="L-BFGS-B",
                        bounds=[(None, None)] + [(0, None)] * len(names))
    return float(found_at.x[0]), found_at.x[1:].tolist()


def before(image: dict) -> float:
    """The confidence that stood here earlier: of a search, fit times agreement of restarts; of a solution,
    independence of the prior times legible patterns times quiet measurements."""
    facts = image["facts"]
    if image["method"] == "algebraic":
        # of a collapsed sample the image under the prior alone is the image itself, which read as independence of it
        collapsed = facts["contradiction"] > 0 and facts.get("prior") == 1 and facts.get("rough") != 0
        return (1 - (0 if collapsed else facts.get("prior", 0))) * (1 - min(1, facts.get("misfit", 0))) * \
            (1 - min(1, facts.get("noise", 0) / 0.1))
    if image["method"] == "patches":
        return 1 - facts["unproven"]
    return (1 - facts["unexplained"]) * (1 - facts["disagreement"])


def measure(found: Sequence[dict], methods: dict, guess: float) -> dict:
    """The ``measured`` of the asset, of images to which nothing was fitted; `guess` is the mean of the other half."""
    claims = [min(probability(image["facts"], methods[image["method"]]["start"], methods[image["method"]]["weights"]),
                  ceiling(image["facts"], image["status"])) for image in found]
    guesses = [claim for claim, image in zip(claims, found, strict=True) if image["status"] in GUESSES]
    share = sum(image["share"] * image["recognisable"] for image in found) / sum(image["share"] for image in found)
    return {"cases": len({image["case"] for image in found}), "images": len(found), "recognisable": round(share, 4),
            "guess": round(guess, 4), "brier": brier(found, claims), "mean_guess": brier(found, [guess] * len(found)),
            "before": brier(found, [before(image) for image in found]),
            "highest_guess": round(max(guesses, default=0.0), 4), "bins": bins(found, claims)}


def brier(found: Sequence[dict], claims: Sequence[float]) -> float:
    total = sum(image["share"] for image in found)
    return round(sum(image["share"] * (claim - image["recognisable"]) ** 2
                     for image, claim in zip(found, claims, strict=True)) / total, 4) if found else math.nan


def bins(found: Sequence[dict], claims: Sequence[float]) -> list[dict]:
    """The reliability diagram: images by confidence."""
    made = []
    for index in range(BINS):
        low, high = index / BINS, (index + 1) / BINS
        inside = [(claim, image) for claim, image in zip(claims, found, strict=True)
                  if low <= claim and (claim < high or index == BINS - 1)]
        if inside:
            weight = sum(image["share"] for _, image in inside)
            made.append({"low": low, "high": high, "images": len(inside),
                         "confidence": round(sum(claim * image["share"] for claim, image in inside) / weight, 4),
                         "share": round(sum(image["recognisable"] * image["share"] for _, image in inside) / weight,
                                        4)})
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="write assets/confidence.json")
    parser.add_argument("--pool", type=Path, default=POOL)
    chosen = parser.parse_args()
    rows = [json.loads(line) for line in chosen.pool.read_text().splitlines()]
    learned, unseen = images(rows, "fit"), images(rows, "test")
    if chosen.fit:
        methods = {name: fit([image for image in learned if image["method"] == name]) for name in METHODS}
    else:
        stored = calibration()
        methods = {name: {"start": stored.start[name], "weights": stored.weights[name]} for name in METHODS}
    guess = sum(image["share"] * image["recognisable"] for image in learned) / sum(image["share"] for image in learned)
    measured = measure(unseen, methods, guess)
    for name in METHODS:
        own = [image for image in unseen if image["method"] == name]
        if own:
            of_it = measure(own, methods, sum(image["recognisable"] * image["share"] for image in learned
                                              if image["method"] == name)
                            / max(1e-9, sum(image["share"] for image in learned if image["method"] == name)))
            print(f"{name:10s} {of_it['images']:4d} images of {of_it['cases']:3d} cases, {of_it['recognisable']:.0%} "
                  f"recognisable: Brier {of_it['brier']:.3f}, mean guess {of_it['mean_guess']:.3f}, before "
                  f"{of_it['before']:.3f}; {methods[name]}")
    print(f"{'all':10s} {measured['images']:4d} images of {measured['cases']:3d} cases: Brier {measured['brier']:.3f}, "
          f"mean guess {measured['mean_guess']:.3f}, before {measured['before']:.3f}; highest confidence of a guess "
          f"{measured['highest_guess']:.2f}")
    for each in measured["bins"]:
        print(f"  {each['low']:.1f} to {each['high']:.1f}: {each['images']:4d} images, mean confidence "
              f"{each['confidence']:.2f}, recognisable {each['share']:.2f}")
    if chosen.fit:
        CALIBRATION.write_text(json.dumps({"event": f"SSIM above {RECOVERED} against the matched private sample",
                                           "pool": {"cases": len(rows)}, "methods": methods, "measured": measured},
                                          indent=1) + "\n")
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
