"""The study of a search: seeded trials, ranges, pruning, importance, and made again from rows."""

import math

import pytest

from core.runs.kinds import AttackConfig, SearchConfig, parse_config
from core.runs.reports.studies import Trial
from core.studies.search.report import rank_correlation, report
from core.studies.search.space import axes, start_values, trial_values
from core.studies.search.study import Study, report_every
from core.studies.search.trials import best

EMPTY = {"relu_alpha_start": 5.0, "relu_alpha_end": 500.0}


def make(config: SearchConfig, rows=()) -> Study:
    start = start_values(config, empty=EMPTY)
    return Study(config, axes(config, start), start, rows)


def row(number: int, params: dict[str, float], *, state: str = "done", residual: float | None = None,
        reported=()) -> Trial:
    """Only lr_x matters: the best is at 0.02, and images are the better the lower the residual."""
    value = 0.01 + math.log10(params["lr_x"] / 0.02) ** 2 if residual is None else residual
    return Trial(trial=number, attack=f"a-{number}", state=state, params=params, residual=value,
                 mean_ssim=1 / (1 + value), reported=list(reported))


def run_all(config: SearchConfig, *, cut_after: int | None = None) -> list[Trial]:
    study, rows = make(config), []
    for number in range(1, config.trials + 1):
        trial = study.ask()
        rows.append(row(number, trial.params))
        study.tell(trial, rows[-1])
        if number == cut_after:
            study = make(config, rows)
    return rows


def test_the_first_trial_is_the_config_itself_and_all_stay_in_range():
    config = SearchConfig(trials=12, lr_x=0.003)
    rows = run_all(config)
    assert rows[0].params == {"init_scale": 0.3, "lr_x": 0.003, "min_lambda": 0.1, "relu_alpha_start": 5.0}
    for name in config.knobs:
        low, high = AttackConfig.model_fields[name].json_schema_extra["search"]
        assert all(low <= item.params[name] <= high for item in rows)
        assert len({item.params[name] for item in rows}) == 12


def test_a_first_value_beyond_the_range_widens_it():
    config = SearchConfig(trials=1, lr_x=5.0, knobs=["lr_x"])
    assert run_all(config)[0].params == {"lr_x": 5.0}
    assert axes(config, {"lr_x": 5.0})[0].high == 5.0


def test_repeats_are_alike_seeds_differ_and_a_study_made_again_goes_on_the_same():
    config = SearchConfig(trials=14)
    rows = run_all(config)
    assert run_all(config) == rows
    assert run_all(config, cut_after=1) == run_all(config, cut_after=9) == rows
    assert run_all(SearchConfig(trials=14, seed=1))[1:] != rows[1:]


def test_it_finds_the_knob_that_matters():
    config = SearchConfig(trials=40, lr_x=0.9, knobs=["lr_x", "min_lambda"])
    rows = run_all(config)
    importance = make(config, rows).importance()
    assert importance["residual"]["lr_x"] > 0.8
    assert importance["mean_ssim"]["lr_x"] > 0.8
    assert best(rows, "residual").residual < 0.05 < rows[0].residual
    assert rank_correlation(rows) == pytest.approx(-1)


def test_an_oracle_maximises_the_score():
    config = SearchConfig(trials=30, lr_x=0.9, knobs=["lr_x"], objective="ssim")
    rows = run_all(config)
    assert best(rows, "ssim").mean_ssim > 0.95 > rows[0].mean_ssim
    assert report(config, rows).oracle is True
    assert "Oracle" in report(config, rows).limits[0]


def test_the_median_prunes_after_a_third_of_the_steps():
    config = SearchConfig(trials=9, iterations=300)
    rows = [row(number, {"init_scale": 0.3, "lr_x": 0.01 * number, "min_lambda": 0.1, "relu_alpha_start": 5.0},
                reported=[[step, 0.1 * number] for step in range(0, 301, 25)]) for number in range(1, 7)]
    trial = make(config, rows).ask()
    trial.report(0.9, 25)
    assert not trial.should_prune()
    trial.report(0.9, 125)
    assert trial.should_prune()
    good = make(config, rows).ask()
    good.report(0.05, 125)
    assert not good.should_prune()


def test_failed_trials_are_never_the_best_and_are_avoided():
    done = [row(0, {"lr_x": rate}, residual=0.5) for rate in (0.002, 0.01, 0.05, 0.2)]
    failed = [row(0, {"lr_x": 0.3 + 0.05 * number}, residual=1e-9, state="failed") for number in range(12)]
    assert best(done + failed, "residual") in done

    def asked_beyond(rows) -> int:
        studies = [make(SearchConfig(knobs=["lr_x"], seed=seed), rows) for seed in range(30)]
        return sum(study.ask().params["lr_x"] > 0.25 for study in studies)

    assert asked_beyond(done + failed) < 0.5 * asked_beyond(done)


def test_a_trial_is_an_attack_with_the_searched_knobs_put_in():
    config = SearchConfig(checkpoint="base.pth", restarts=3, iterations=50, seed=7, name="mine")
    attack = parse_config(trial_values(config, {"lr_x": 0.5, "relu_alpha_end": 70.0}))
    assert (attack.kind, attack.checkpoint, attack.restarts, attack.iterations, attack.seed, attack.lr_x,
            attack.relu_alpha_end, attack.method, attack.name) == ("attack", "base.pth", 3, 50, 7, 0.5, 70.0, "kkt", "")


@pytest.mark.parametrize(("iterations", "record_every"), [(600, 25), (50_000, 25), (10, 25), (5000, 7)])
def test_reports_are_few_and_fall_on_rows_of_metrics(iterations, record_every):
    every = report_every(SearchConfig(iterations=iterations, record_every=record_every))
    assert every % record_every == 0
    assert iterations / every <= 20
