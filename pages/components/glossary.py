"""What the short names of cards and lines of facts mean: a dotted line under the name, the sentence at the pointer."""

from html import escape

TERMS = {
    "KKT residual": "How far the weights are from a stationary point of the margin problem: 0 is there, 1 unrelated.",
    "ln loss": "Natural logarithm of the mean cross-entropy over the training samples.",
    "accuracy: training": "Share of the training samples on the right side.",
    "training accuracy": "Share of the training samples on the right side.",
    "training error": "Share of the training samples on the wrong side.",
    "hold-out": "Accuracy on samples of the same problem that the base never saw.",
    "hold-out accuracy": "On samples of the same problem that the base never saw.",
    "rank": "Rank r of the LoRA adapter: the update B A has at most r directions in each layer.",
    "steps": "Number T of optimiser steps of the fine-tuning.",
    "samples": "Number N of samples that are looked for, or that were fine-tuned on.",
    "above the floor": "Samples whose loss coefficient stands above the rounding of what is released: the others are "
                       "out of reach for any attack.",
    "mean SSIM": "Structural similarity to the truth, matched one to one, mean over all targets; 1 is identical.",
    "best mean SSIM": "Of one point, over all its targets: structural similarity to the truth; 1 is identical.",
    "residual": "What of the released update or weights the reconstruction leaves unexplained; 0 is nothing.",
    "best residual": "Smallest over the trials: what the attack leaves unexplained.",
    "threat": "What the adversary is told: nothing but the published files, or also labels, N, T and learning rate.",
    "N": "Number of samples that the attack looked for.",
    "method": "The attack: gradient matching (NTK), the stationarity equation (KKT), or exact algebra.",
    "gates of the images that are wrong": "Neurons that are on for the reconstruction and off for the truth, or the "
                                          "other way round; share of all.",
    "separated gates that are wrong": "Neurons whose activation the algebra read off wrongly; share of those it read.",
    "Equations a sample": "Linear measurements of each image that the adapter gives away.",
    "signs a sample": "Neurons of which the update tells whether they are on for the sample: an inequality each.",
    "stationarity": "How near the weights are to a point where their training has ended.",
    "weights ‖θ‖": "Euclidean norm of all weights and biases.",
    "update ‖ΔW‖ / ‖W‖": "Size of the update against the weights that it is added to, layer by layer.",
    "samples, by its spectrum": "Number of private samples: the singular values of the update fall to rounding "
                                "after as many.",
}


def term(name: str) -> str:
    """HTML of a name, with its meaning where that is not plain."""
    meaning = TERMS.get(name) or TERMS.get(name[:1].lower() + name[1:])
    return f'<abbr title="{escape(meaning)}">{escape(name)}</abbr>' if meaning else escape(name)
