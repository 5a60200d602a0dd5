"""All attacks at once, as rows and as charts."""

import pytest

from core.plots.landscape import landscape_row, parallel, scatter
from core.runs.notes import Notes, write_notes
from tests.helpers import synthetic


@pytest.fixture
def rows(runs_root):
    synthetic.pretrain(runs_root.root)
    synthetic.finetune(runs_root.root)
    runs = [synthetic.attack(runs_root.root, f"attack-{index}", restarts=index + 1) for index in range(3)]
    write_notes(runs[0], Notes(("baseline",), ""))
    return [landscape_row(run) for run in runs]


def test_a_row_has_the_score_and_the_knobs_of_attack_and_victim(rows, runs_root):
    row = rows[0]
    report = runs_root.get("attack-0").report()
    assert row["mean_ssim"] == report.score.mean_ssim
    assert row["samples"] == report.score.targets
    victim = runs_root.get(runs_root.get("attack-0").config().finetune).report()
    assert (row["rank"], row["steps"]) == (victim.rank, victim.steps)
    assert row["weakest"] == min(victim.visibility)
    assert (row["tags"], rows[1]["tags"]) == ("baseline", "")


def test_runs_without_a_score_are_left_out(runs_root):
    base = synthetic.pretrain(runs_root.root)
    synthetic.finetune(runs_root.root)
    assert landscape_row(base) is None
    assert landscape_row(synthetic.attack(runs_root.root, "going", state="running")) is None


def test_every_point_knows_its_run(rows):
    figure = scatter(rows, over="samples", score="mean_ssim")
    assert sum(len(trace.x) for trace in figure.data) == 3
    assert {point[0] for trace in figure.data for point in trace.customdata} == {f"attack-{i}" for i in range(3)}


def test_what_has_no_place_on_the_axis_is_not_drawn(rows):
    rows = [rows[0] | {"rank": "full"}, rows[1] | {"rank": 8}, rows[2] | {"rank": None}]
    figure = scatter(rows, over="rank", score="recovered")
    assert [list(trace.x) for trace in figure.data] == [[8]]


def test_parallel_coordinates_show_only_knobs_that_differ(rows):
    rows = [row | {"restarts": restarts, "rank": rank} for row, restarts, rank in
            zip(rows, (1, 8, 8), (8, 1000, "full"), strict=True)]
    lines = parallel(rows, score="mean_ssim").data[0]
    by_label = {dimension.label: dimension for dimension in lines.dimensions}
    assert set(by_label) == {"rank", "restarts", "mean SSIM"}
    assert list(by_label["rank"].ticktext) == ["8", "1000", "full"]
    assert list(by_label["rank"].values) == [0, 1, 2]
    assert parallel(rows[:1], score="mean_ssim") is None
