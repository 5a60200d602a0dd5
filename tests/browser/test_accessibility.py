"""Every page against the rules of WCAG 2 A and AA that axe-core can check: contrast, names, roles; light and dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from scripts.screenshots import settle
from tests.helpers import synthetic

PATHS = ("/", "/demo", "/pretrain", "/pretrain?run=pretrain-20260101-100000-aaaa", "/finetune",
         "/finetune?run=finetune-20260101-110000-bbbb", "/attack", "/attack?run=attack-20260101-120000-cccc",
         "/experiments", "/search", "/compare", "/compare?view=all", "/evidence", "/lessons")
RULES = {"runOnly": ["wcag2a", "wcag2aa"]}


@pytest.fixture
def laboratory(server, tmp_path):
    """Two runs of each kind to look at."""
    runs = tmp_path / "runs"
    synthetic.pretrain(runs)
    synthetic.pretrain(runs, "pretrain-20260101-100000-eeee", name="Another base")
    synthetic.finetune(runs)
    synthetic.finetune(runs, "finetune-20260101-110000-ffff", name="Another victim", samples=4)
    synthetic.attack(runs)
    synthetic.attack(runs, "attack-20260101-130000-eeee", name="Second", restarts=16)
    return server


def test_every_page_can_be_read_and_operated(browser, laboratory):
    page: Page = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=laboratory)
    found = []
    for path in PATHS:
        page.goto(path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            settle(page)
            for violation in Axe().run(page, options=RULES).response["violations"]:
                found += [f"{path} {scheme} {violation['id']}: {node['html'][:200]} {node['failureSummary']}"
                          for node in violation["nodes"]]
    page.close()
    assert not found, "\n".join(found)
