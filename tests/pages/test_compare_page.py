"""Compare: runs side by side, and all attacks at once."""

import pytest

from tests.helpers import synthetic
from tests.helpers.seen import plots


def test_compare_takes_its_runs_from_the_link(show, laboratory):
    app = show("compare", runs="attack-20260101-120000-cccc,attack-20260101-130000-eeee")
    assert app.multiselect[0].value == ["attack-20260101-120000-cccc", "attack-20260101-130000-eeee"]
    tables = [frame.value for frame in app.dataframe]
    assert list(tables[0]["mean SSIM"]) == ["0.94", "0.94"] or list(tables[0]["mean SSIM"]) == ["0.93", "0.93"]
    assert list(tables[1]["knob"]) == ["Restarts R"]
    assert list(tables[1]["Second"]) == ["16"]
    assert len(plots(app)) == 2


@pytest.mark.parametrize("kind", ["finetune", "pretrain"])
def test_compare_other_kinds(show, runs_root, kind):
    knob = {"finetune": {"samples": 4}, "pretrain": {"hidden": 64}}[kind]
    make = getattr(synthetic, kind)
    first, second = make(runs_root, f"{kind}-a"), make(runs_root, f"{kind}-b", **knob)
    app = show("compare", runs=f"{first.id},{second.id}")
    assert len(app.dataframe) == 2
    assert str(next(iter(knob.values()))) in list(app.dataframe[1].value.iloc[0, 1:])


def test_compare_shows_all_attacks_and_leads_to_one(show, laboratory):
    app = show("compare", view="all")
    assert len(plots(app)) >= 1
    assert app.dataframe[-1].value["run"].notna().all()
    assert any("Compare side by side" in button.label for button in app.button)


def test_all_attacks_says_what_to_do_when_there_are_none(show):
    app = show("compare", view="all")
    assert "No attack has been scored yet" in app.info[0].value


def test_compared_curves_wipe_and_differences(show, laboratory):
    app = show("compare", runs="attack-20260101-120000-cccc,attack-20260101-130000-eeee")
    assert not any("difference" in item.proto.body for item in app.get("html"))
    app.toggle(key="compare-differences").set_value(True)
    app.slider(key="compare-smoothing").set_value(0.9).run()
    assert not app.exception
    assert any("difference" in item.proto.body for item in app.get("html"))


def test_compare_says_what_a_bad_link_lacks(show, laboratory):
    app = show("compare", runs="attack-20260101-120000-cccc,gone")
    assert "there is no run 'gone'" in app.error[0].value
    assert len(app.multiselect[0].value) == 2  # the newest other attack joins the one that is there
