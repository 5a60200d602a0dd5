"""The forecast before an attack: visible samples, measurements against unknowns, the score to expect, the levers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.config.thresholds import ROUNDING_FLOOR, VISIBLE_WITHIN
from core.reconstruction.registry import METHODS
from core.studies.forecast.counting import Counts, measurements, sufficient_rank
from core.studies.forecast.expected import Expected, expect
from core.studies.forecast.records import Record, capped
from core.studies.forecast.setting import Setting

CLAIMS = ("released-only", "informed")  # an oracle is a ceiling, no attack claim
NO_RESULT = "No stored result is near this setting, so no score is forecast."
WORTH = 0.02  # of SSIM: smaller changes are no lever
POSSIBLE = (1, 2, 4, 8)  # N of files whose N is not known


@dataclass(frozen=True)
class Lever:
    """One change of the setting, and what stored results say it does."""

    text: str
    mean: float
    change: float


@dataclass(frozen=True)
class Forecast:
    """What can be said before an attack. `expected` is best first."""

    visible: int | None          # samples above the rounding floor; None where that is not known yet
    samples: int | None
    visibility: str              # a sentence on who can be seen
    counts: Counts
    counting: str                # a sentence on measurements and unknowns
    expected: list[Expected]
    by_samples: dict[int, Expected]  # where N is not known: for each possible N
    levers: list[Lever]
    advice: list[str]            # what would change it, where no number is stored

    @property
    def headline(self) -> Expected | None:
        return self.expected[0] if self.expected else None


def forecast(setting: Setting, records: Sequence[Record], *, methods: Iterable[str] = METHODS,
             threats: Iterable[str] = CLAIMS) -> Forecast:
    """For a planned or finished fine-tuning, and the methods and knowledge of those who may attack it."""
    methods, threats = tuple(methods), tuple(threats)
    counts = measurements(setting)
    visible = len(setting.verdicts) - setting.verdicts.count("hidden") if setting.verdicts else None
    expected = sorted((found for method in methods for threat in threats
                       if (found := expect(setting, records, method=method, threat=threat)) is not None),
                      key=lambda found: -found.mean)
    by_samples = {}
    if setting.samples is None:
        for N in POSSIBLE:
            tried = replace(setting, samples=N, steps=setting.steps or 1)
            if found := forecast(tried, records, methods=methods, threats=threats).headline:
                by_samples[N] = found
    return Forecast(visible, setting.samples, _visibility(setting, visible), counts, _counting(setting, counts),
                    expected, by_samples, _levers(setting, records, expected[0]) if expected else [],
                    _advice(setting, counts))


def _visibility(setting: Setting, visible: int | None) -> str:
    if visible is not None:
        weak = setting.verdicts.count("weak")
        text = f"{visible} of {len(setting.verdicts)} samples stand above the rounding floor"
        return text + (f", {weak} of them more than {VISIBLE_WITHIN:.0f}x below the largest." if weak else ".")
    if setting.samples is None:
        return "How many samples there are, and which can be seen, is not known before the attack."
    floor = ROUNDING_FLOOR[setting.dtype]
    if setting.selection == "visible":
        text = f"All {setting.samples} samples are drawn within {VISIBLE_WITHIN:.0f}x of the largest coefficient"
        if floor * VISIBLE_WITHIN > 1:
            return text + f"; stored as {setting.dtype}, those below {floor:g} of it may still be hidden."
        return text + ": all visible." if setting.samples > 1 else "The one sample is visible."
    return (f"Who is visible shows after the fine-tuning: samples below {floor:.0e} of the largest coefficient drown "
            f"in {setting.dtype}, and a base that fits most digits hides many. The scores assume that all are visible.")


def _counting(setting: Setting, counts: Counts) -> str:
    if not counts.by_layer:
        return "No hidden layer is trained: the update holds no measurements of single samples."
    parts = ", ".join(f"{count:,} from layer {int(name.rsplit('.', 1)[1]) + 1}"
                      for name, count in counts.by_layer.items())
    text = (f"Each sample is known by up to {counts.equations:,} linear measurements ({parts}) for {counts.unknowns:,} "
            f"pixels, and by {counts.signs:,} signs, one a neuron.")
    if not counts.separable:
        return f"{text} But rank {setting.rank} cannot tell {setting.samples} samples apart."
    if not counts.pixels_measured:
        return f"{text} The first layer is not trained, so none of them measures pixels directly."
    return text + (" The equations alone fix the image." if counts.determined else
                   " Between them, signs and priors have to decide.")


def _advice(setting: Setting, counts: Counts) -> list[str]:
    """Sentences that follow from the counting, for whoever wants to see more or to show less."""
    found = []
    if not counts.separable:
        found.append(f"More rank: from {setting.samples} on, the samples can be told apart.")
    if setting.rank is not None and counts.separable and not counts.determined and counts.pixels_measured:
        found.append(f"More rank: from {sufficient_rank(setting)} on, the equations alone fix every pixel.")
    if setting.rank is not None and counts.determined:
        found.append(f"Less rank: below {sufficient_rank(setting)}, the equations leave pixels open.")
    if not counts.pixels_measured:
        found.append("An adapter on the first layer: it measures the pixels themselves.")
    if setting.samples is not None and setting.samples > 1:
        found.append("Fewer samples: each is then easier to separate from the others.")
    if setting.steps is not None and setting.steps > 1:
        found.append("Fewer steps: after one, no neuron has flipped and the coefficients are fixed.")
    if setting.optimizer == "adamw":
        found.append("SGD instead of AdamW, which keeps the zeros of the update but rescales its sizes.")
    hidden = setting.verdicts.count("hidden")
    rescued = sum(verdict == "hidden" and value >= ROUNDING_FLOOR["float64"]
                  for verdict, value in zip(setting.verdicts, setting.visibility, strict=False))
    if hidden and rescued and setting.dtype != "float64":
        found.append(f"Precision: computed and stored in float64, {rescued} of the {hidden} hidden would be visible.")
    elif setting.dtype == "bfloat16":
        found.append("Precision: stored in float32, samples would be visible down to 1e-5 of the largest.")
    return found


def _levers(setting: Setting, records: Sequence[Record], now: Expected) -> list[Lever]:
    """Single changes that stored results of the same method and threat have measured, the largest gain first."""
    like = [record for record in records if (record.method, record.threat) == (now.method, now.threat)]
    rank, N, T = capped(setting.rank), setting.samples, setting.steps
    tried: list[tuple[str, Setting]] = []
    if rank is not None:
        tried += [(f"rank {value} instead of {setting.rank}", replace(setting, rank=value))
                  for value in _around(rank, (record.rank for record in like))]
    if not setting.verdicts:  # the samples of a finished run are drawn
        tried += [(f"N = {value} instead of {N}", replace(setting, samples=value))
                  for value in _around(N, (record.samples for record in like))]
    tried += [(f"T = {value:,} instead of {T:,}", replace(setting, steps=value))
              for value in _around(T, (record.steps for record in like))]
    tried += [(f"{value} instead of {setting.optimizer}", replace(setting, optimizer=value))
              for value in sorted({record.optimizer for record in like} - {setting.optimizer})]
    tried += [(f"{value} instead of {setting.dtype}", replace(setting, dtype=value))
              for value in sorted({record.dtype for record in like} - {setting.dtype})]
    levers = []
    for text, other in tried:
        found = expect(other, records, method=now.method, threat=now.threat)
        # No further from a stored result than the forecast itself, or the change would be one of the neighbourhood.
        if found and found.distance <= now.distance and abs(found.mean - now.mean) >= WORTH:
            levers.append(Lever(text, found.mean, found.mean - now.mean))
    return sorted(levers, key=lambda lever: -lever.change)


def _around(value: int, stored: Iterable[int | None]) -> list[int]:
    """The nearest stored values below and above."""
    others = {item for item in stored if item is not None and item != value}
    below, above = [item for item in others if item < value], [item for item in others if item > value]
    return ([max(below)] if below else []) + ([min(above)] if above else [])
