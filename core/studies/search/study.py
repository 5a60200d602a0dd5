"""An Optuna study that lives in the rows of a search: made again from them, it goes on as if never stopped.

Each trial has a sampler of its own, seeded by the search's seed and the trial's number, so that what is asked next
depends on the earlier trials alone and not on how often the process was killed between them.
"""

from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, Trial, TrialState

from core.runs.kinds import SearchConfig
from core.runs.reports.studies import Trial as TrialRow
from core.studies.search.space import Axis

MOST_REPORTS = 20       # residuals of one trial that pruning looks at
FEWEST_FOR_MEDIAN = 4   # finished trials before one is judged by them
FEWEST_FOR_IMPORTANCE = 6
TARGETS = ("residual", "mean_ssim")

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """Ask for a trial, report its residual as it falls, hand in its row."""

    def __init__(self, config: SearchConfig, axes: Sequence[Axis], start: dict[str, float],
                 rows: Sequence[TrialRow]) -> None:
        self.config = config
        self.distributions = {axis.name: FloatDistribution(axis.low, axis.high, log=axis.log) for axis in axes}
        self.oracle = config.objective == "ssim"
        # Every trial has its own learning rates, and a third of its steps for its first images to form.
        pruner = optuna.pruners.MedianPruner(n_startup_trials=FEWEST_FOR_MEDIAN, n_warmup_steps=config.iterations // 3)
        self._study = optuna.create_study(direction="maximize" if self.oracle else "minimize", pruner=pruner)
        for row in rows:
            self._study.add_trial(self._frozen(row))
        if not rows:
            self._study.enqueue_trial(start)

    @property
    def prunes(self) -> bool:
        """A residual says nothing of a trial that is judged by its images."""
        return self.config.prune and not self.oracle

    def ask(self) -> Trial:
        """The next trial, with its `params`."""
        number = len(self._study.trials) - len(self._study.get_trials(deepcopy=False, states=[TrialState.WAITING]))
        seed = int(np.random.SeedSequence([self.config.seed, number]).generate_state(1)[0])
        startup = min(10, max(4, self.config.trials // 4))
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, multivariate=True)
        return self._study.ask(self.distributions)

    def tell(self, trial: Trial, row: TrialRow) -> None:
        """Hand in the row of a trial that was asked for."""
        score = self._score(row)
        if row.state == "done" and score is not None:
            trial.set_user_attr("mean_ssim", row.mean_ssim)
            trial.set_user_attr("residual", row.residual)
            self._study.tell(trial, score)
        else:
            self._study.tell(trial, state=TrialState.PRUNED)

    def importance(self) -> dict[str, dict[str, float]]:
        """Share of each knob in the variance of residual and mean SSIM over the finished trials (fANOVA).

        Empty for few trials, for a target that is not known everywhere, and where all came out alike.
        """
        done = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        found = {}
        for target in TARGETS:
            values = [trial.user_attrs[target] for trial in done]
            if len(done) < FEWEST_FOR_IMPORTANCE or None in values or max(values) == min(values):
                continue
            found[target] = get_param_importances(
                self._study, evaluator=FanovaImportanceEvaluator(seed=self.config.seed),
                target=lambda trial, target=target: trial.user_attrs[target])
        return found

    def _score(self, row: TrialRow) -> float | None:
        return row.mean_ssim if self.oracle else row.residual

    def _frozen(self, row: TrialRow) -> FrozenTrial:
        """A row as the trial that it was. One that failed counts as pruned at once, and so as the worst."""
        score = self._score(row)
        done = row.state == "done" and score is not None
        reported = {step: value for step, value in row.reported if value is not None}
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE if done else TrialState.PRUNED, params=row.params,
            value=score if done else list(reported.values())[-1] if reported else None,
            distributions=self.distributions, intermediate_values=reported,
            user_attrs={"mean_ssim": row.mean_ssim, "residual": row.residual})


def report_every(config: SearchConfig) -> int:
    """Steps between two reports: a multiple of those between two rows of metrics."""
    return config.record_every * max(1, -(-config.iterations // (MOST_REPORTS * config.record_every)))
