"""What limits an algebraic reconstruction, in plain sentences with the numbers behind them."""

from core.reconstruction.algebraic.patterns import MOST_SAMPLES
from core.reconstruction.algebraic.recovery import Estimate
from core.reconstruction.algebraic.separation import Separation
from core.threat.observation import Update
from core.threat.spectrum import count_samples, signal

DRIFTED = ("The adapter's A moved visibly while fine-tuning (many or large steps), so part of the first layer's "
           "measurements was left out and the rest taken with tolerance.")
BLURRED = 0.01   # share of the neurons that read neither on nor off


def algebraic_limits(observation: Update, separation: Separation | None,
                     estimates: list[Estimate], *, drifted: bool = False) -> list[str]:
    """Sentences for the report; empty where nothing is in the way. Never looks at the truth."""
    if separation is None:
        return _inseparable(observation)
    return [*_rank(estimates), *_blur(separation), *_contradictions(estimates), *_paper(estimates),
            *([DRIFTED] if drifted else [])]


def _inseparable(observation: Update) -> list[str]:
    """Why no set of activation patterns explains the update."""
    samples = observation.threat.samples or count_samples(observation).samples
    ranks = {name: len(values) for name, values, _ in signal(observation)}
    narrow = min(ranks, key=ranks.get)
    if ranks[narrow] < samples or (observation.threat.samples is None and ranks[narrow] == samples):
        return [f"The update of {narrow} has rank {ranks[narrow]} at most, and no {ranks[narrow]} activation patterns "
                "explain it: there are probably more samples than ranks, and then they cannot be separated."]
    if samples > MOST_SAMPLES:
        return [f"{samples} samples are more than the {MOST_SAMPLES} that can be separated by trying all words."]
    return [f"No {samples} activation patterns explain the update: neurons switched during the fine-tuning (many or "
            "large steps), an adaptive optimiser rescaled the weights one by one, the stored precision is too coarse, "
            "or the base is not the one that was fine-tuned. Gradient matching (method ntk) asks for less."]


def _rank(estimates: list[Estimate]) -> list[str]:
    open_ = [index for index, estimate in enumerate(estimates, 1) if not estimate.exact]
    if not open_:
        return []
    names = ", ".join(map(str, open_))
    equations = estimates[0].equations
    return [f"Sample {names} of {len(estimates)}: {equations} linear measurements leave about "
            f"{max(estimates[index - 1].free for index in open_)} pixels open, so activation patterns, sparsity and "
            "smoothness decide between the images that fit; a higher rank would determine them."]


def _blur(separation: Separation) -> list[str]:
    worst = float(separation.misfit.max())
    if worst < BLURRED:
        return []
    return [f"{worst:.0%} of the neurons of one sample read neither on nor off: they switched during the "
            "fine-tuning, or rounding blurs them. They have no vote."]


def _paper(estimates: list[Estimate]) -> list[str]:
    white = [str(index) for index, estimate in enumerate(estimates, 1) if estimate.background == "white"]
    if not white:
        return []
    return [f"Sample {', '.join(white)}: equations and signs are met with far less ink on white paper than on black, "
            "so a white background is what sparsity prefers there."]


def _contradictions(estimates: list[Estimate]) -> list[str]:
    wrong = [str(index) for index, estimate in enumerate(estimates, 1) if estimate.contradictory]
    if not wrong:
        return []
    return [f"Sample {', '.join(wrong)}: no image in [0, 1] meets its equations and signs; what is shown violates them "
            "least. The features moved while fine-tuning, or the pixels were not in [0, 1]."]
