"""Plots in a real browser: what a reader did to one survives a refresh; it takes the theme and leads to runs."""

import json
import re

from playwright.sync_api import expect

from tests.helpers import synthetic
from tests.helpers.browser import PAGE_MS, picture, sound

CURVES = "plot => plot.calcdata?.[0]?.length ?? 0"
RANGE = "plot => plot._fullLayout.xaxis.range"


def test_zoom_survives_a_refresh_that_shows_more(page, tmp_path):
    run = synthetic.attack(tmp_path / "runs", state="running")
    rows = [json.loads(line) for line in run.file("metrics.jsonl").read_text().splitlines()]
    page.goto(f"/attack?run={run.id}")
    plot = drawn(page, "Loss terms")
    before = plot.evaluate(CURVES)
    plot.scroll_into_view_if_needed()
    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)  # plotly animates nothing here, but waits for a second click
    zoomed = plot.evaluate(RANGE)
    assert 0 < zoomed[0] < zoomed[1] < rows[-1]["step"]
    plot.evaluate("plot => plot.mine = true")
    with run.file("metrics.jsonl").open("a") as file:
        for index in range(1, 41):
            file.write(json.dumps(rows[-1] | {"step": rows[-1]["step"] + 10 * index}) + "\n")
    page.wait_for_function(f"before => ({CURVES})([...document.querySelectorAll('.ai-plot')].find(plot => plot.mine))"
                           " > before", arg=before, timeout=PAGE_MS)
    assert plot.evaluate("plot => plot.mine")  # the plot that stood, not a new one
    assert plot.evaluate(RANGE) == zoomed
    picture(page, "17-zoomed")
    sound(page)


def test_a_plot_takes_the_theme_fills_the_screen_and_leads_to_a_run(page, tmp_path):
    for index in range(2):
        synthetic.attack(tmp_path / "runs", f"attack-20260101-12000{index}-cccc")
    page.goto("/compare?view=all&over=seconds")
    plot = drawn(page, "over computing time")
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("dark => getComputedStyle(document.querySelector('.stApp')).backgroundColor"
                               " === (dark ? 'rgb(18, 20, 28)' : 'rgb(255, 255, 255)')", arg=scheme == "dark")
        page.wait_for_timeout(500)
        colours.append(plot.evaluate("plot => plot._fullLayout.font.color"))
    assert colours == ["#1f2130", "#e7e8f0"]
    plot.hover()
    buttons = plot.locator(".modebar-btn").evaluate_all("found => found.map(button => button.dataset.title)")
    assert "Download plot" in buttons
    assert not [name for name in buttons if re.search("share|cloud|edit", name, re.IGNORECASE)], "data stay here"
    plot.locator("[data-title='Full screen and back']").click()
    page.wait_for_function("() => document.querySelector(':fullscreen.ai-plot')?._fullLayout.height === innerHeight")
    picture(page, "18-plot-full-screen")
    plot.locator("[data-title='Full screen and back']").click()
    page.wait_for_function("() => !document.fullscreenElement")
    expect(plot).to_have_css("height", re.compile("^[1-4]..px"))
    point = plot.locator(".scatterlayer .point").last.bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2, steps=5)
    page.wait_for_timeout(300)  # plotly looks for the point under the mouse 20 times a second
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(re.compile(r"/attack\?.*run=attack-20260101"), timeout=PAGE_MS)
    expect(page.get_by_text("Reconstruction", exact=True)).to_be_visible()
    page.go_back()
    drawn(page, "over computing time")  # and does not lead away again
    page.wait_for_timeout(1000)
    assert "view=all" in page.url
    sound(page)


def drawn(page, name):
    """The plot of this name, once it has its curves."""
    plot = page.get_by_role("figure", name=re.compile(name)).first
    plot.locator(".main-svg").first.wait_for(timeout=PAGE_MS)
    return plot
