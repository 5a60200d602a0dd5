"""Why a finished attack found what it found: each known reason of failure, tested on the run's own reports.

Read after the score, with the truth's facts beside it; no attack imports this. The reasons and their thresholds are
those of the laboratory's own experiments: a sample below the rounding floor is lost (`core.diagnostics.visibility`),
features must stay within a cosine of 0.99 of the base's, a KKT attack needs the first layer's residual low.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.assessment.finding import judged
from core.config.thresholds import POOR_FIT, STABLE_COSINE, UNMOVED, VISIBLE_WITHIN
from core.io.wording import counted, fixed, number, percent
from core.reconstruction.registry import explains_weights, searches
from core.runs.kinds import AttackConfig
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import ImageScore
from core.runs.reports.training import FinetuneReport, PretrainReport

FAILED, SUSPECT, CLEAR, UNKNOWN = "failed", "suspect", "clear", "unknown"
ORDER = (FAILED, SUSPECT, UNKNOWN, CLEAR)
STEADY_COSINE = 0.999    # features moved a little below it
NEARLY_STATIONARY = 0.1  # of the first layer, left unexplained
AT_FLOOR = 1.05          # times min_lambda
WRONG_GATES = 0.1        # share of a sample's neurons


@dataclass(frozen=True)
class Reason:
    """One check. `evidence` is the number behind `text`, `samples` are the targets (from 0) that it concerns."""

    name: str
    verdict: str  # failed: it explains missing samples; suspect: it may; clear: ruled out; unknown: not known
    text: str
    evidence: str = ""
    samples: tuple[int, ...] = ()


def reasons(config: AttackConfig, report: AttackReport, *, victim: FinetuneReport | None = None,
            base: PretrainReport | None = None) -> list[Reason]:
    """All checks that apply, the worst first.

    `report` is the attack's; `victim` that of the fine-tuning it attacked, `base` that of the network it attacked or
    started from, where they are runs of this laboratory.
    """
    whole = explains_weights(report.method)
    checks = [_ended(report), _samples(report),
              *([_supported(base), _stationary(report, base), _floor(config, report)] if whole else
                [_visible(victim), _flipped(victim, report), _rank(report, victim), _optimizer(victim),
                 _coefficients(report)]),
              _restarts(report), _precision(config, victim, report)]
    made = [check for check in checks if check]
    if report.score and not missed(report):  # what did not hinder cannot be the reason
        made = [replace(check, verdict=SUSPECT) if check.verdict == FAILED else check for check in made]
    return sorted(made, key=lambda check: ORDER.index(check.verdict))


def headline(report: AttackReport) -> str:
    """What came back, with its denominator, and whether that is a finding."""
    score = report.score
    if not score:
        return "Nothing is known of the truth, so that only the attack's own signs can be judged."
    modality = score.modality
    found = sum(map(modality.is_found, score.values()))
    line = f"{'above' if modality.higher else 'within'} {modality.headline.title} {modality.found}"
    said = judged(score)
    return (f"{found} of {counted(score.targets, 'target')} came back {line}. "
            f"{'In the mean ' if said and not said.startswith('No') else ''}{said}").strip()


def missed(report: AttackReport) -> list[int]:
    """Targets (from 0) that did not come back; [] without a score."""
    score = report.score
    return [index for index, value in enumerate(score.values()) if not score.modality.is_found(value)] if score else []


def sample_rows(report: AttackReport, victim: FinetuneReport | None) -> list[dict[str, Any]]:
    """What is known of each target, for a table: its score beside what could have kept it back."""
    score, victim = report.score, victim or FinetuneReport()
    if not isinstance(score, ImageScore):
        return []
    known: dict[str, Sequence[Any]] = {
        "coefficient / largest": victim.visibility, "visibility": victim.verdicts,
             "feature cosine": victim.feature_cosine, "wrong gates": _wrong_gates(report)}
    rows = []
    for index, ssim in enumerate(score.ssim):
        row: dict[str, Any] = {"target": index + 1, "SSIM": ssim}
        if score.assignment[index] is None:
            row["found"] = "no candidate left for it"
        row |= {name: values[index] for name, values in known.items()
                if index < len(values) and values[index] is not None}
        rows.append(row)
    return rows


def _ended(report: AttackReport) -> Reason | None:
    status = report.status
    if status in ("iterations", "converged", "solved", ""):
        return None
    return Reason("How it ended", SUSPECT if status in ("stopped", "time_limit") else FAILED,
                  report.status_message, status.replace("_", " "))


def _samples(report: AttackReport) -> Reason:
    score, found = report.score, report.samples
    name, how = "Number of samples", report.samples_found_by
    if not score:
        return Reason(name, UNKNOWN, f"The true number is not known here. {how}", f"N = {found}")
    true, left = score.targets, tuple(index for index, own in enumerate(score.assignment) if own is None)
    if found == true:
        return Reason(name, CLEAR, f"As many samples were searched for as there are. {how}", f"{found} of {true}")
    text = ("Fewer samples were searched for than there are: the others have no candidate, and those found carry "
            "their share." if found < true else
            "More samples were searched for than there are: some candidates explain what is left over.")
    return Reason(name, FAILED if found < true else SUSPECT, f"{text} {how}", f"{found} for {true}", left)


def _visible(victim: FinetuneReport | None) -> Reason:
    name = "Invisible samples"
    if not victim or not victim.verdicts:
        return Reason(name, UNKNOWN, "The victim was not made here, so that its samples' coefficients are not known.")
    hidden = _where(victim.verdicts, "hidden")
    weak = _where(victim.verdicts, "weak")
    least = f"weakest {number(min(victim.visibility))} of the largest"
    if hidden:
        return Reason(name, FAILED, f"{_these(hidden)} below the rounding of the released files: no attack can bring "
                      f"{'it' if len(hidden) == 1 else 'them'} back.",
                      f"{least}, floor {number(victim.rounding_floor)}", hidden)
    if weak:
        return Reason(name, SUSPECT, f"{_these(weak)} more than {VISIBLE_WITHIN:.0f} times weaker than the "
                      "strongest: out of reach for gradient-based attacks, not for the algebraic one.", least, weak)
    return Reason(name, CLEAR, "Every sample stands well above the rounding of the released files.", least)


def _flipped(victim: FinetuneReport | None, report: AttackReport) -> Reason:
    name = "Neuron flips"
    if not victim or not victim.feature_cosine:
        return Reason(name, UNKNOWN, "The victim was not made here, so that its neurons were not followed.")
    cosines, flips, steps = victim.feature_cosine, max(victim.flips.values()), victim.steps or 1
    wrong = [index for index, share in enumerate(_wrong_gates(report))
             if share is not None and share > WRONG_GATES]
    evidence = f"{percent(flips)} flipped, lowest feature cosine {fixed(min(cosines), 3)}"
    turned = tuple(index for index, value in enumerate(cosines) if value < STABLE_COSINE)
    if turned and steps > 1:
        return Reason(name, FAILED, f"While fine-tuning the features turned away from the base's for "
                      f"{_numbers(turned)}; an attack at the base explains the update with other features.", evidence,
                      turned)
    if min(cosines) < STEADY_COSINE and steps > 1:
        return Reason(name, SUSPECT, "Features moved a little while fine-tuning: fine detail suffers first.", evidence,
                      tuple(index for index, value in enumerate(cosines) if value < STEADY_COSINE))
    if wrong:
        return Reason(name, SUSPECT, f"Features held, but the images found for {_numbers(wrong)} switch on other "
                      "neurons than the truth: the search ended in another activation pattern.",
                      f"over {percent(WRONG_GATES)} of the gates wrong", tuple(wrong))
    return Reason(name, CLEAR, "The features at the base are those that training saw.", evidence)


def _rank(report: AttackReport, victim: FinetuneReport | None) -> Reason:
    name = "Rank"
    if not victim:
        return Reason(name, UNKNOWN, "See what limits this reconstruction: the attack's own words on the rank.")
    if victim.rank is None:
        return Reason(name, CLEAR, "Full fine-tuning: nothing was cut to a rank.")
    rank, samples, layers = victim.rank, victim.samples, len(victim.layers)
    pixels, known = report.unknowns, report.equations or rank * layers
    evidence = f"rank {rank}: {known:,} measurements a sample" + (f" for {pixels:,} pixels" if pixels else "")
    if rank < samples:
        return Reason(name, FAILED, f"With rank {rank} for {counted(samples, 'sample')} the update cannot keep them "
                      "apart linearly.", evidence)
    # gradient matching does not count its equations, but says where the rank is below the pixels
    few = known < pixels if pixels else any(line.startswith("Rank") for line in report.limits)
    if few:
        return Reason(name, FAILED, "Each sample is known through fewer linear measurements than it has pixels; "
                      "between them only activation patterns fix the image.", evidence)
    return Reason(name, CLEAR, "The rank leaves every pixel in sight.", evidence)


def _optimizer(victim: FinetuneReport | None) -> Reason | None:
    if not victim or victim.optimizer != "adamw":
        return None
    return Reason("Optimizer", FAILED, "AdamW rescales every weight's gradient, so that the update is no sum of the "
                  "samples' features, which all these attacks assume.", "adamw")


def _coefficients(report: AttackReport) -> Reason:
    name, values = "Coefficients", _sizes(report)
    if not values or not max(values):
        return Reason(name, UNKNOWN, "No coefficients were recovered.")
    low = [index for index, value in enumerate(values) if value * VISIBLE_WITHIN < max(values)]
    evidence = f"smallest {number(min(values) / max(values))} of the largest"
    if low:
        return Reason(name, SUSPECT, f"{counted(len(low), 'candidate')} came out with next to no coefficient: what "
                      "they show explains nothing of the update.", evidence)
    return Reason(name, CLEAR, "Every candidate carries a share of the update.", evidence)


def _supported(base: PretrainReport | None) -> Reason:
    name = "Invisible samples"
    if not base or base.support_samples is None:
        return Reason(name, UNKNOWN, "The network was not trained here, so that its support samples are not known.")
    support, samples = base.support_samples, base.samples
    evidence = f"{support:,} of {samples:,} support samples"
    if support < samples:
        return Reason(name, FAILED, "Samples away from the margin have no multiplier: they left no trace in the "
                      "weights, and nothing can bring them back.", evidence)
    return Reason(name, CLEAR, "Every training sample has a multiplier.", evidence)


def _stationary(report: AttackReport, base: PretrainReport | None) -> Reason:
    name, first = "Stationarity", report.residuals.get("residual.layers.0")
    trained = base.layer_residuals.get("layers.0") if base else None
    parts = [f"first layer left unexplained by the attack {percent(first)}" if first is not None else "",
             f"by the training samples {percent(trained)}" if trained is not None else ""]
    evidence = ", ".join(part for part in parts if part)
    left = first if trained is None else trained
    if left is None:
        return Reason(name, UNKNOWN, "Not measured.")
    if left > UNMOVED:
        return Reason(name, FAILED, "The network is far from a KKT point: most of the first layer is its "
                      "initialisation, which no sample explains. Train longer, or with max-margin.", evidence)
    if left > NEARLY_STATIONARY:
        return Reason(name, SUSPECT, "The network is on its way to a KKT point, but not there: part of the first layer "
                      "is still its initialisation.", evidence)
    return Reason(name, CLEAR, "The network sits at a KKT point.", evidence)


def _floor(config: AttackConfig, report: AttackReport) -> Reason:
    name, count = "Multipliers at their floor", report.candidates or report.samples
    lam = [size * count for size in _sizes(report)]
    if not lam:
        return Reason(name, UNKNOWN, "No multipliers were recovered.")
    low = [value for value in lam if value <= AT_FLOOR * config.min_lambda]
    evidence = f"{len(low)} of {len(lam)} at λ ≤ {number(AT_FLOOR * config.min_lambda)}"
    if len(low) * 5 > len(lam):
        return Reason(name, FAILED if len(low) * 2 > len(lam) else SUSPECT, "The attack would rather drop these "
                      "candidates: they are held up by the floor min_lambda alone and show nothing of the training "
                      "set. Lower the number of candidates, or min_lambda.", evidence)
    return Reason(name, CLEAR, "The multipliers stand above the floor that min_lambda sets.", evidence)


def _restarts(report: AttackReport) -> Reason:
    name, residual = "Search and restarts", report.residual
    restarts, near = report.restarts, report.restarts_near_best
    if not searches(report.method) and not restarts:
        return Reason(name, CLEAR, "Solved, not searched: there are no restarts that could have gone astray.",
                      f"residual {number(residual)}")
    evidence = f"residual {number(residual)}" + (f", {near} of {restarts} restarts near the best" if restarts else "")
    if residual is not None and residual > POOR_FIT:
        return Reason(name, FAILED, "Even the best restart leaves much unexplained: it ended in a bad place, or the "
                      "equation does not hold for this victim (see the other rows).", evidence)
    if restarts and restarts > 2 and near == 1:
        return Reason(name, SUSPECT, "One restart alone came so far: others ended elsewhere, and more of them may find "
                      "a better one still.", evidence)
    if report.copies:
        return Reason(name, SUSPECT, f"{counted(report.copies, 'candidate')} came out as a copy of another one, and a "
                      "sample each was left without.", evidence)
    return Reason(name, CLEAR, "The search explains what was released.", evidence)


def _precision(config: AttackConfig, victim: FinetuneReport | None, report: AttackReport) -> Reason:
    name = "Precision"
    stored = victim.adapter_dtype if victim else None
    evidence = f"computed in {config.precision}" + (f", released in {stored}" if stored else "")
    if stored in ("bfloat16", "float16"):
        return Reason(name, SUSPECT, f"The adapter was released in {stored}: its rounding hides weak samples and "
                      "blurs all others.", evidence)
    if any("Rounding" in line or "rounding" in line for line in report.limits):
        return Reason(name, SUSPECT, "The attack says that rounding is in its way; see what limits it.", evidence)
    return Reason(name, CLEAR, "Rounding is far below what was released.", evidence)


def _sizes(report: AttackReport) -> list[float]:
    return [abs(value) for value in report.coefficients if value is not None]


def _wrong_gates(report: AttackReport) -> list[float | None]:
    """By target, the mean share of wrong gates over the layers; [] where they were not compared."""
    layers = list(report.score.gate_mismatch.values()) if report.score else []
    return [None if None in shares else sum(shares) / len(shares) for shares in zip(*layers, strict=True)]


def _where(verdicts: Sequence[str], wanted: str) -> tuple[int, ...]:
    return tuple(index for index, verdict in enumerate(verdicts) if verdict == wanted)


def _numbers(samples: Sequence[int]) -> str:
    return f"{'sample' if len(samples) == 1 else 'samples'} {', '.join(str(index + 1) for index in samples)}"


def _these(samples: Sequence[int]) -> str:
    text = _numbers(samples)
    return f"{text[0].upper()}{text[1:]} {'is' if len(samples) == 1 else 'are'}"
