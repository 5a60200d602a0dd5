"""Numbers in a real browser: a slider and its field hold one value; two pictures are wiped over one another."""

import json
import re

from playwright.sync_api import expect

from tests.browser.test_journey import PAGE_MS, fill, page, picture, sound  # noqa: F401
from tests.pages import synthetic


def test_a_slider_and_its_field_hold_one_value(page, tmp_path):  # noqa: F811
    page.goto("/pretrain")
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


def test_an_empty_field_has_a_pale_slider_and_what_follows_a_knob_follows_its_slider(page, tmp_path):  # noqa: F811
    synthetic.pretrain(tmp_path / "runs")
    page.goto("/finetune")
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


def test_before_and_after_are_wiped_in_the_browser(page, tmp_path):  # noqa: F811
    synthetic.pretrain(tmp_path / "runs")
    synthetic.finetune(tmp_path / "runs")
    names = [f"attack-20260101-12000{index}-cccc" for index in range(2)]
    for name in names:
        synthetic.attack(tmp_path / "runs", name)
    page.goto(f"/compare?runs={','.join(names)}")
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
