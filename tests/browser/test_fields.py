"""Numbers in a real browser: a slider and its field hold one value; two pictures are wiped over one another."""

import json
import re
from dataclasses import replace

from playwright.sync_api import expect

from scripts.screenshots import settle
from tests.helpers import synthetic
from tests.helpers.browser import PAGE_MS, fill, picture, sound


def test_a_slider_and_its_field_hold_one_value(page, tmp_path):
    page.goto("/pretrain")
    settle(page)
    field = page.get_by_label("Learning rate", exact=True)
    slider = page.get_by_role("slider", name="Learning rate, slider")
    expect(slider).to_have_attribute("aria-valuetext", "0.01")
    before = float(slider.input_value())
    fill(page, "Learning rate", "1e-4")
    assert float(slider.input_value()) < before  # it follows what is typed
    slider.focus()
    page.keyboard.press("End")
    expect(field).to_have_value("10")
    page.keyboard.press("ArrowLeft")
    expect(field).to_have_value("9.2")  # a log scale, two digits
    expect(slider).to_have_attribute("aria-valuetext", "9.2")

    # Dragged inside a form, it is what the form sends.
    hidden = page.get_by_role("slider", name="Hidden (neurons), slider")
    box = hidden.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown = page.get_by_label("Hidden (neurons)", exact=True).input_value()
    assert 64 <= int(shown.replace(",", "")) <= 256  # half-way from 2 to 8,192 lies 128
    for label, value in (("Samples per class (images)", "2"), ("Epochs", "1")):
        fill(page, label, value)
    page.get_by_role("button", name="Start pretraining").click()
    page.wait_for_url(re.compile("run="))
    (made,) = (tmp_path / "runs").glob("pretrain-*/config.json")
    config = json.loads(made.read_text())
    assert (config["learning_rate"], config["hidden"], config["samples_per_class"]) == (9.2, int(shown), 2)
    sound(page)


def test_sliders_outlast_the_refresh_of_a_run_that_goes_on(page, tmp_path):
    run = synthetic.attack(tmp_path / "runs", state="running")
    run.write_status(replace(run.stored_status(), tunable={"lr_x": 0.05}))
    page.goto(f"/attack?run={run.id}")
    settle(page)
    page.get_by_text("Tune while it runs").click()
    slider = page.get_by_role("slider", name="Learning rate of images, slider")
    slider.focus()
    places = []
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(700)  # a refresh comes every 1.5 s
        places.append(float(slider.input_value()))
    assert places == sorted(set(places)), "each press moved it on"
    field = page.get_by_label("Learning rate of images", exact=True)
    assert float(field.input_value()) > 0.05
    fill(page, "Learning rate of images", "0.002")
    page.wait_for_timeout(2000)
    expect(field).to_have_value("0.002")
    assert float(slider.input_value()) < places[0]
    page.get_by_role("button", name="Change").click()
    page.wait_for_timeout(1000)
    (asked,) = (run.path / "requests").glob("*.json")
    assert "0.002" in asked.read_text()
    sound(page)


def test_the_buttons_of_a_number_move_its_slider(page, tmp_path):
    synthetic.pretrain(tmp_path / "runs")
    page.goto("/finetune")
    settle(page)
    slider = page.get_by_role("slider", name="Samples N (images), slider")
    expect(slider).to_have_attribute("aria-valuetext", "2")
    page.get_by_test_id("stNumberInput").filter(has_text="Samples N").get_by_test_id("stNumberInputStepUp").click()
    expect(slider).to_have_attribute("aria-valuetext", "3")
    assert float(slider.input_value()) == 2  # of 0 to 511


def test_an_empty_field_has_a_pale_slider_and_what_follows_a_knob_follows_its_slider(page, tmp_path):
    synthetic.pretrain(tmp_path / "runs")
    page.goto("/finetune")
    settle(page)
    rank = page.get_by_role("slider", name="Rank r, slider")
    rank.focus()
    page.keyboard.press("Home")
    expect(page.get_by_label("Rank r", exact=True)).to_have_value("1")
    expect(page.get_by_text("2 of 784")).to_be_visible(timeout=PAGE_MS)  # the forecast of rank 1
    alpha = page.get_by_role("slider", name="LoRA α, slider")
    expect(alpha).to_have_attribute("aria-valuetext", "the rank")
    expect(alpha).to_have_class(re.compile("ai-unset"))
    alpha.focus()
    page.keyboard.press("End")
    expect(alpha).not_to_have_class(re.compile("ai-unset"))
    expect(page.get_by_label("LoRA α", exact=True)).to_have_value("100000")
    picture(page, "19-sliders")


def test_before_and_after_are_wiped_in_the_browser(page, tmp_path):
    synthetic.pretrain(tmp_path / "runs")
    synthetic.finetune(tmp_path / "runs")
    names = [f"attack-20260101-12000{index}-cccc" for index in range(2)]
    for name in names:
        synthetic.attack(tmp_path / "runs", name)
    page.goto(f"/compare?runs={','.join(names)}")
    settle(page)
    edge = page.get_by_role("slider", name=re.compile("Share shown of reconstruction"))
    edge.scroll_into_view_if_needed()
    over = page.locator(".ai-wipe .ai-over")
    expect(over).to_have_css("clip-path", re.compile(r"50%"))
    edge.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(edge).to_have_attribute("aria-valuetext", "60 percent")
    box = page.locator(".ai-wipe").bounding_box()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 50, steps=5)
    page.mouse.up()
    assert 10 <= int(edge.input_value()) <= 30
    picture(page, "20-before-and-after")
    sound(page)
