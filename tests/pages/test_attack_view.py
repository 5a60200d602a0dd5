"""What an attack's own page shows beside the scores: neighbours, every restart, the spread of λ, the load."""

import json
from dataclasses import replace

from pages.components.reading import curves
from pages.components.restarts import residuals
from tests.helpers import synthetic
from tests.helpers.seen import check, text


def toggle(app, label):
    return next(item for item in app.toggle if item.label == label)


def test_the_nearest_training_image_and_the_difference_are_rows_of_their_own(show, runs_root):
    synthetic.finetune(runs_root)
    app = show("attack", run=synthetic.attack(runs_root).id)
    assert "nearest training image 1" not in text(app)
    toggle(app, "Nearest training image").set_value(True).run()
    check(app)
    assert text(app).count('alt="nearest training image') == 2
    assert "nearest: private samples, SSIM 0.90" in text(app)
    toggle(app, "Difference images").set_value(True).run()
    assert text(app).count('alt="difference') == 2


def test_an_attack_without_a_truth_has_no_neighbours(show, runs_root):
    app = show("attack", run=synthetic.attack(runs_root, scored=False).id)
    assert not any(item.label == "Nearest training image" for item in app.toggle)


def test_every_restart_at_the_step_that_is_shown_the_smallest_residual_first(show, runs_root):
    run = synthetic.attack(runs_root, state="running", restarts=3)
    app = show("attack", run=run.id)
    page = text(app)
    assert "At step 600" in page
    places = [page.index(f"restart {number} ·") for number in (1, 2, 3)]
    assert places == sorted(places)
    assert page.count("· leads") == 1
    scrub = next(item for item in app.slider if item.label.startswith("Attack step"))
    scrub.set_value(250).run()
    check(app)
    assert "At step 200" in text(app)
    assert residuals(curves(run), 200)[2] > residuals(curves(run), 600)[2]


def test_the_spread_of_the_multipliers_of_many_candidates(show, runs_root):
    few = show("attack", run=synthetic.attack(runs_root, samples=2).id)
    many = show("attack", run=synthetic.attack(runs_root, "attack-20260101-130000-eeee", samples=8).id)
    assert "Distribution of λ" not in text(few)
    assert "Distribution of λ" in text(many)


def test_a_run_that_goes_on_says_what_it_uses(show, runs_root):
    run = synthetic.attack(runs_root, state="running")
    run.write_status(replace(run.stored_status(), load={
        "cpu": 1.93, "cores": 2, "memory": 8.12e8, "memory_total": 2.4e10, "gpu": 0.87, "gpu_memory": 1.1e10,
        "gpu_memory_total": 8.5e10}))
    page = text(show("attack", run=run.id))
    for fact in ("1.9 of 2 cores", "812 MB of 24.0 GB", "87 %", "11.0 GB of 85.0 GB"):
        assert fact in page


def test_a_score_stands_beside_what_it_has_to_beat(show, runs_root):
    app = show("attack", run=synthetic.attack(runs_root, ssim=[0.5, 0.6]).id)
    shown = {metric.label: metric.value for metric in app.metric}
    assert (shown["Mean image"], shown["Wrong release"]) == ("0.35", "0.25 ± 0.03")
    assert "In the mean 0.55 is better than the mean image (0.35) and a wrong release (0.25 ± 0.03)." in text(app)
    assert "Confidence is the probability that the image is recognisable" in text(app)
    app = show("attack", run=synthetic.attack(runs_root, "attack-20260101-130000-eeee", ssim=[0.3, 0.3]).id)
    assert "No finding: 0.30 is no better than the mean image (0.35) and a wrong release (0.25 ± 0.03)." in text(app)


def test_a_report_from_before_there_were_controls_opens(show, runs_root):
    run = synthetic.attack(runs_root)
    report = json.loads(run.file("report.json").read_text())
    for name in ("controls", "finding"):
        del report["score"][name]
    run.file("report.json").write_text(json.dumps(report))
    app = show("attack", run=run.id)
    check(app)
    assert not any(metric.label in ("Mean image", "Wrong release") for metric in app.metric)
