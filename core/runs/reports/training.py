"""The reports of the two kinds of training: of a base, and of a fine-tuning on private samples."""

from core.runs.reports.stored import LayerSpectrum, Number, Report, Stored


class PretrainReport(Report):
    """How far a base was trained, and how near it came to a KKT point."""

    log_loss: Number = None          # ln of the mean cross-entropy
    train_error: Number = None       # share of the training samples
    kkt_residual: Number = None      # relative, of all layers together
    epochs: int | None = None
    margin: Number = None            # normalised
    median_margin: Number = None
    norm: Number = None
    decay_residual: Number = None
    implied_weight_decay: Number = None
    layer_residuals: dict[str, Number] = {}
    alignments: dict[str, Number] = {}
    support_samples: int | None = None   # with a multiplier above 0
    holdout_accuracy: Number = None
    holdout_samples: int | None = None
    samples: int = 0
    problem: str = ""
    data_source: str = ""
    data_description: str = ""
    reached_target: bool | None = None
    ending: str = ""
    seconds: Number = None


class KinkDistance(Stored):
    """|pre-activation| over the neurons of a layer."""

    median: Number = None
    smallest: Number = None


class FinetuneReport(Report):
    """What a fine-tuning released and, measured beside it, what that gives away. Lists run over the samples [N]."""

    base: str = ""
    base_fingerprint: str = ""
    samples: int | None = None
    labels: list[int] = []
    indices: list[int] = []  # in the dataset
    adaptation: str = "lora"
    rank: int | None = None        # None: full fine-tuning
    alpha: Number = None
    scaling: Number = None
    layers: list[str] = []   # that were trained
    optimizer: str = "sgd"
    learning_rate: Number = None
    steps: int | None = None
    adapter_dtype: str = "float32"
    loss_before: Number = None
    loss_after: Number = None
    visibility: list[Number] = []  # coefficient / largest
    verdicts: list[str] = []       # visible, weak or hidden
    largest_coefficient: Number = None   # |sigmoid(f) - y| at the base
    rounding_floor: Number = None
    coefficients: list[Number] = []
    coefficient_drift: list[Number] = []
    flips: dict[str, Number] = {}  # by layer, share of (sample, neuron) pairs
    feature_cosine: list[Number] = []
    feature_cosine_mean: Number = None
    feature_cosine_min: Number = None
    weight_change: Number = None         # norm of the update against the base's
    kink_distance: dict[str, KinkDistance] = {}
    seconds: Number = None
    spectrum: dict[str, LayerSpectrum] = {}
    problem: str = ""
    data_source: str = ""
