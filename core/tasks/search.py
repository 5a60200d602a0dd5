"""A search: attacks with other knobs, trial after trial, each a run of its own beside this one.

Trials are found again by their ids, ``attack-NAME-001``, …, and the study by this run's rows: Stop, a kill and Resume
cost nothing but the seconds since the trial's last checkpoint. They are computed in this process, so that a trial can
be pruned at the very step at which it falls behind, and a repeat prunes at the same one.
"""

from typing import Any

from optuna.trial import Trial

from core.io.errors import InputError
from core.io.files import finite, write_json
from core.reconstruction.registry import foreign, named, owners
from core.runs.directory import MetricsRow, Run
from core.runs.kinds import AttackConfig, SearchConfig, parse_config
from core.runs.recorder import Recorder, describe_failure
from core.runs.reports.attack import AttackReport
from core.runs.reports.score import ImageScore
from core.runs.reports.studies import Trial as TrialRow
from core.studies.search.report import report
from core.studies.search.space import axes, start_values, trial_values
from core.studies.search.study import Study, report_every
from core.studies.search.trials import summary
from core.tasks import attack
from core.tasks.child import child_run

JUDGES = {"residual": "the attack's own residual", "ssim": "the truth (an oracle)"}


class Judge:
    """Follows a trial's smallest residual and says once where the study prunes it."""

    def __init__(self, study: Study, trial: Trial, config: SearchConfig) -> None:
        self._study, self._trial, self._every = study, trial, report_every(config)
        self.reported: list[tuple[int, float]] = []  # [step, smallest residual so far]
        self.pruned_at: int | None = None

    def see(self, row: MetricsRow) -> bool:
        """Take in a row of the trial's metrics; whether it is pruned."""
        if row["step"] % self._every == 0 and self._study.prunes and self.pruned_at is None:
            now = [value for value in finite(row["restart_losses"]) if value is not None]
            best = min([value for _, value in self.reported[-1:]] + now, default=None)
            if best is not None:
                self.reported.append((row["step"], best))
                self._trial.report(best, row["step"])
                self.pruned_at = row["step"] if self._trial.should_prune() else None
        return self.pruned_at is not None


class TrialRecorder(Recorder):
    """Writes a trial's run directory; stops with the search, and where the trial is pruned."""

    def __init__(self, run: Run, *, search: Recorder, judge: Judge) -> None:
        super().__init__(run)
        self._search, self._judge = search, judge

    def record(self, step: int, **values: Any) -> None:
        super().record(step, **values)
        self.judge({"step": step, **values})

    def judge(self, row: MetricsRow) -> None:
        if self._judge.see(row):
            self.ask_to_stop(f"Pruned at step {self._judge.pruned_at:,}: its residual was above the median of the "
                             "earlier trials.")

    def should_stop(self) -> bool:
        self.stop_seen = super().should_stop() or self._search.should_stop()
        return self.stop_seen


def execute(run: Run, config: SearchConfig, recorder: Recorder) -> None:
    """Run all trials; one row of metrics.jsonl a trial, then ``report.json``. A stop leaves the rows and no report."""
    if idle := [name for name in config.knobs if name in foreign(config.method)]:
        owner = " and ".join(method.name for method in owners(idle[0]))
        raise InputError(f"knobs: {idle[0]} belongs to {owner} alone; leave it out for {config.method}.")
    start = start_values(config, empty=named(config.method).empty)
    rows = run.table(TrialRow)
    study = Study(config, axes(config, start), start, rows)
    recorder.log(f"{config.trials} trials of {config.method}, judged by {JUDGES[config.objective]}; {len(rows)} done "
                 "before.")
    recorder.progress(len(rows), config.trials)
    for number in range(len(rows) + 1, config.trials + 1):
        trial = study.ask()
        row = _trial(run, config, recorder, study, trial, number)
        if row is None:
            recorder.log(f"Stopped after {number - 1} of {config.trials} trials; Resume continues from here.")
            return
        study.tell(trial, row)
        recorder.record(number, **row.stored(), importance=study.importance())
        recorder.save_checkpoint({}, {"step": number})  # rows up to here outlive a resume
        recorder.progress(number, config.trials)
        rows = run.table(TrialRow)
        recorder.summary(**summary(config, rows))
    write_json(run.file("report.json"), report(config, rows).stored())


def _trial(run: Run, config: SearchConfig, recorder: Recorder, study: Study, trial: Trial,
           number: int) -> TrialRow | None:
    """The row of a trial; None where somebody asked to stop before it was finished."""
    child, judge, reason = _trial_run(run, config, trial.params, number), Judge(study, trial, config), ""
    recorder.summary(current=child.id)
    if recorder.should_stop():
        return None
    state, attacked = child.status().state, child.config()
    assert isinstance(attacked, AttackConfig)
    if state in ("stopped", "interrupted"):
        child.reset_for_resume()
    if state == "failed" and number == 1:
        raise InputError(child.status().message)
    if state in ("done", "failed"):  # and killed before its row was written
        for row in child.metrics()[0]:
            judge.see(row)
    else:
        try:
            with TrialRecorder(child, search=recorder, judge=judge) as trial_recorder:
                for row in child.metrics()[0]:  # of an attempt that was killed
                    trial_recorder.judge(row)
                write_json(child.file("environment.json"), run.environment() or {})
                attack.execute(child, attacked, trial_recorder)
        except Exception as error:  # logged by the trial's own recorder; other knobs may do better
            if number == 1:
                raise
            reason = describe_failure(error)
            recorder.log(f"Trial {number} failed: {reason}")
        if recorder.should_stop() and judge.pruned_at is None and child.status().state == "stopped":
            return None
    return _row(config, child, trial.params, number, judge, reason)


def _trial_run(run: Run, config: SearchConfig, params: dict[str, float], number: int) -> Run:
    """The run of that trial, made where it is missing."""
    run_id = f"attack-{run.id.removeprefix('search-')}-{number:03d}"
    name = f"Trial {number}" + (" of an oracle search" if config.objective == "ssim" else "")  # copies say so too
    return child_run(run, run_id, parse_config({**trial_values(config, params), "name": name}))


def _row(config: SearchConfig, child: Run, params: dict[str, float], number: int, judge: Judge,
         reason: str) -> TrialRow:
    status, found = child.status(), child.report(AttackReport) or AttackReport(status_message="It has no residual.")
    residual, score = found.residual, found.score if isinstance(found.score, ImageScore) else ImageScore()
    state = "pruned" if judge.pruned_at is not None else "done" if status.state == "done" else "failed"
    if state == "done" and residual is None:
        state, reason = "failed", found.status_message
    if config.objective == "ssim" and state == "done" and score.mean_ssim is None:
        raise InputError("objective: ssim needs a truth to judge by, and there is none for this victim; choose "
                         "residual, or attack a base or a fine-tuning of this laboratory.")
    return TrialRow(trial=number, attack=child.id, state=state, params=params, residual=residual,
                    mean_ssim=score.mean_ssim, targets=score.targets or None, pruned_at=judge.pruned_at,
                    reported=judge.reported, seconds=status.seconds,
                    reason=reason or (status.message or "It was stopped by hand." if state == "failed" else ""))
