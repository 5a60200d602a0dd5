"""Whether a score is a finding: what is not above the mean image and above a wrong release is none.

In words and for pages, which load no torch; `core.assessment.controls` measures.
"""

from core.io.wording import fixed
from core.runs.reports.score import Controls, PublishedScore, Score

SPREADS = 2.0  # above a wrong release: this many of its spreads above its mean, and above every draw


# Names of reports that were written when only trained weights had a wrong release beside them, as chance.
EARLIER = {"chance_mean_ssim": "wrong_release", "chance_mean_distance": "wrong_release",
           "chance_recovered": "wrong_release_recovered"}


def controls_of(score: Score | PublishedScore) -> Controls:
    """``controls`` of a score, also of an earlier report; empty where it has none."""
    return score.controls or Controls(**{name: value for earlier, name in EARLIER.items()
                                         if (value := getattr(score, earlier, None)) is not None})


def judged(score: Score) -> str:
    """`verdict` of a score of any modality."""
    return verdict(score.mean, controls_of(score), higher=score.modality.higher)


def is_finding(value: float | None, controls: Controls, *, higher: bool = True) -> bool | None:
    """None where there is no score or nothing to compare it with."""
    if value is None:
        return None
    beaten = [_better(value, least, higher) for least in _bars(controls, higher) if least is not None]
    return all(beaten) if beaten else None


def verdict(value: float | None, controls: Controls, *, higher: bool = True) -> str:
    """One sentence for people; empty where there is nothing to compare with."""
    if is_finding(value, controls, higher=higher) is None:
        return ""
    flat, wrong = _bars(controls, higher)
    missed = [f"{name} ({words})" for name, least, words in (
        ("the mean image", flat, fixed(flat)), ("a wrong release", wrong, wrong_release(controls)))
        if least is not None and not _better(value, least, higher)]
    if missed:
        return f"No finding: {fixed(value)} is no better than {' and '.join(missed)}."
    beaten = ([f"the mean image ({fixed(flat)})"] if flat is not None else []) + \
        ([f"a wrong release ({wrong_release(controls)})"] if wrong is not None else [])
    return f"{fixed(value)} is better than {' and '.join(beaten)}."


def wrong_release(controls: Controls) -> str:
    """``0.21 ± 0.03``"""
    value, spread = controls.wrong_release, controls.wrong_release_spread
    return fixed(value) if spread is None else f"{fixed(value)} ± {fixed(spread)}"


def _bars(controls: Controls, higher: bool) -> tuple[float | None, float | None]:
    """What must be beaten of the mean image and of the wrong releases."""
    value, sign = controls.wrong_release, 1 if higher else -1
    if value is None:
        return controls.mean_image, None
    far = value + sign * SPREADS * (controls.wrong_release_spread or 0.0)
    best = controls.wrong_release_best
    return controls.mean_image, sign * max(sign * far, sign * (far if best is None else best))


def _better(value: float, than: float, higher: bool) -> bool:
    return value > than if higher else value < than
