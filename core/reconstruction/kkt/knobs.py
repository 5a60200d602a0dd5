"""The knobs of the KKT attack, and what it takes for those left empty."""

from typing import Literal

from core.config.knob import knob
from core.reconstruction.knobs import FirstOrderKnobs, PriorKnobs

ALPHAS = (5.0, 500.0)  # a soft surrogate finds the basin; sharper ends did no better (20 digits, three bases)
BOX = 0.1              # at 1 the box holds images back while they form: mean SSIM 0.53 for 0.75 (the same digits)


class KKTKnobs(PriorKnobs, FirstOrderKnobs):
    """Knobs of the KKT attack."""

    halving: bool = knob(True, help="The worse half of the restarts ends after 1/8, 1/4 and 1/2 of the "
                         "iterations, two stay; 16 then cost as much as 5, and images came out no worse. Off runs all "
                         "to the end.")
    candidates: int | None = knob(
        None, help="Images to search for, of which the N that count most are kept. Empty takes N.", unit="images",
        scale="log", ge=1, le=4096, source="Haim et al. 2022: 1,000 for 500 samples")
    kkt_objective: Literal["stationarity", "naive"] = knob(
        "stationarity", help="Stationarity is the attack. naive is the baseline of its authors: images that the "
        "network is most sure of, the mean logit of each class driven apart, without the KKT equation.",
        group="expert", source="Haim et al. 2022")
    kkt_surrogate: Literal["modified", "relu"] = knob(
        "modified", help="Derivative of the ReLU in the search. modified: sigmoid(α z), as published. relu: the "
        "exact step, for comparison; α does not count then.", group="expert", source="Haim et al. 2022")
    kkt_residual: Literal["published", "relative"] = knob(
        "published", help="Published adds up the layers' squared residuals as they are; relative divides each "
        "by the layer's own squared norm first, which came out worse on small networks.", group="expert",
        source="Haim et al. 2022")
    kkt_margin: Literal["hard", "soft"] = knob(
        "soft", help="Of networks of several outputs: what adds up to the weights. hard: the gradients of the "
        "lead over the strongest rival. soft: those of the lead over all rivals, as a cross-entropy weighs them.",
        group="expert", source="Buzaglo et al. 2023: hard")
    kkt_layers: list[str] | None = knob(
        None, help="Layers to explain; empty takes all. A wide layer whose initialisation did not wash out says "
        "little.", group="expert", suggested=("layers.0", "layers.1", "layers.2"), min_length=1)
    lambda_space: Literal["log", "linear"] = knob(
        "log", help="Search log(lam), so that lam stays positive, or lam itself as published.", group="expert",
        source="Haim et al. 2022: linear")
    lambda_start: Literal["common", "uniform"] = knob(
        "common", help="Common starts every lam at the one value that explains most; uniform draws U(0, 1).",
        group="expert", source="Haim et al. 2022: uniform")
    min_lambda: float = knob(0.1, help="Least multiplier lam of a candidate, with theta = mean of y lam grad f; "
                             "lower ones are penalised.", search=(0.01, 0.5), live=True, ge=0.0, le=10.0,
                             group="expert", source="Haim et al. 2022: 0.4471")
    lambda_weight: float = knob(5.0, help="Weight of the penalty on multipliers below the least.", scale="log",
                                live=True, ge=0.0, le=1e4, group="expert", source="Haim et al. 2022: 5")
    box_range: Literal["unit", "centred"] = knob(
        "unit", help="Unit penalises pixels outside [0, 1]; centred, as published, pixels less the input mean "
        "outside [-1, 1].", group="expert", source="Haim et al. 2022: centred")
    init_draw: Literal["fixed-length", "gaussian"] = knob(
        "fixed-length", help="Every initial image has exactly that deviation, or its pixels are drawn N(0, std) "
        "as published.", group="expert", source="Haim et al. 2022: gaussian")
