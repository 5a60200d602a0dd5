"""The reports of runs that start others, and the rows of their tables: also the rows of their metrics.jsonl."""

from typing import Any

from pydantic import AliasChoices, Field

from core.runs.reports.stored import Number, Report, Stored


class ExperimentRow(Stored):
    """One point of an experiment's grid. `core.studies.experiments.table` says what the numbers are."""

    step: int = 0               # its place in the grid, from 1
    state: str = "done"         # or failed, with the reason
    reason: str = ""

    # What varies; None where that axis is none of the preset's.
    arm: str | None = None
    adaptation: str | None = None
    rank: int | None = None     # None: full fine-tuning
    steps: int | None = None
    samples: int | None = None
    seed: int | None = None
    learning_rate: Number = None
    coefficients: str | None = None
    features: str | None = None
    method: str | None = None

    # Ids of the runs that made it.
    pretrain: str = ""
    finetune: str = ""
    attack: str = ""

    mean_ssim: Number = None
    mean_psnr: Number = None
    targets: int | None = None
    ssim: list[Number] | None = None
    recovered: int | None = None
    mean_image_ssim: Number = None
    # The other names are of rows from when only attacks on trained weights had a wrong release, as chance.
    wrong_release_ssim: Number = Field(None, validation_alias=AliasChoices("wrong_release_ssim", "chance_mean_ssim"))
    wrong_release_recovered: Number = Field(None, validation_alias=AliasChoices("wrong_release_recovered",
                                                                                "chance_recovered"))
    finding: bool | None = None
    residual: Number = None
    base_residual: Number = None
    largest_coefficient: Number = None
    loss_before: Number = None
    loss_after: Number = None
    weight_change: Number = None
    flips: Number = None
    feature_cosine: Number = None
    coefficient_drift: Number = None
    visible: int | None = None
    finetune_seconds: float = 0.0
    attack_seconds: float = 0.0
    seconds: float = 0.0


class ExperimentReport(Report):
    """A whole grid."""

    preset: str = ""
    size: str = ""
    title: str = ""
    x: str | None = None                 # the axis that the score is drawn over
    method: str | None = None
    base: str = ""
    base_fingerprint: str | None = None  # None: each point has a base of its own
    grid: dict[str, Any] = {}
    points: int = 0
    failed: int = 0
    best_ssim: Number = None
    table: list[ExperimentRow] = []


class TrialBrief(Stored):
    """A trial as the report of a search names it."""

    trial: int = 0                                              # from 1
    attack: str = ""                                            # the id of its run
    params: dict[str, float] = {}      # the searched knobs
    residual: Number = None
    mean_ssim: Number = None


class Trial(TrialBrief):
    """One trial of a search."""

    step: int = 0
    seconds: float = 0.0
    state: str = "done"                            # pruned, failed
    targets: int | None = None
    pruned_at: int | None = None
    reported: list[tuple[int, Number]] = []  # step, smallest residual so far
    reason: str = ""
    importance: dict[str, dict[str, Number]] = {}  # of each knob so far, for each target


class SearchReport(Report):
    """All trials of a search."""

    method: str = ""
    objective: str = ""
    oracle: bool = False
    trials: int = 0
    done: int = 0
    pruned: int = 0
    failed: int = 0
    first: TrialBrief | None = None
    best: TrialBrief | None = None
    best_by_truth_oracle: TrialBrief | None = None
    importance: dict[str, dict[str, Number]] = {}
    rank_correlation: Number = None
    table: list[Trial] = []
