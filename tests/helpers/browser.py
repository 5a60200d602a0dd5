"""What browser tests share: waiting times, and looking at a page."""

from pathlib import Path

from playwright.sync_api import Page, expect

from scripts.screenshots import settle

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
PAGE_MS = 30_000  # the first page of a fresh server imports torch
LIMIT = "40"       # seconds of an attack: enough to reload and stop it on a busy machine
JOB_MS = 90_000   # a small job, with the start of its process
PROBES = ("/_stcore/health", "/_stcore/host-config")  # Streamlit's page looks for its server below a deep link first


def sound(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stJson").filter(visible=True)).to_have_count(0)  # nothing is printed by accident


def picture(page: Page, name: str) -> None:
    """Screenshots in both themes, to look at."""
    ARTIFACTS.mkdir(exist_ok=True)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        page.screenshot(path=ARTIFACTS / f"{name}-{scheme}.png")
    sound(page)


def fill(page: Page, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    field.blur()  # Tab would stop at the next help mark, whose text lies over other fields
