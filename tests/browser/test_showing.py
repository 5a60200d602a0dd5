"""What is shown to somebody else: the guided demo, the same page in two browsers, the presentation view;
files of one's own."""

import re

import torch
from peft import LoraConfig, get_peft_model
from playwright.sync_api import expect

from core.artifacts.checkpoint import save_checkpoint
from core.models.mlp import MLP
from tests.helpers import synthetic
from tests.helpers.browser import JOB_MS, PAGE_MS, picture, sound

DEMO_MS = 240_000  # six jobs on a busy machine


def test_guided_demo_in_two_browsers(page, browser, server):
    page.goto("/")
    page.get_by_role("link", name=re.compile("guided demo, live")).click()
    page.get_by_role("button", name="Start the demo").click()
    page.get_by_text(re.compile(r"Step [\d,]+ of|Waiting|Starting")).first.wait_for(timeout=JOB_MS)
    other = browser.new_page(viewport={"width": 1920, "height": 1080}, base_url=server)
    page.wait_for_url(re.compile("made="))
    other.goto(page.url)  # finds the demo that goes on
    expect(other.get_by_text(re.compile(r"Step [\d,]+ of|Waiting|Starting")).first).to_be_visible(timeout=JOB_MS)
    other.goto("about:blank")  # and leaves both cores to it
    expect(page.get_by_text("6 runs in")).to_be_visible(timeout=DEMO_MS)
    picture(page, "14-guided-demo")

    # Both show the same pictures and scores.
    other.goto(page.url)
    expect(other.get_by_text("6 runs in")).to_be_visible(timeout=PAGE_MS)
    for window in (page, other):
        expect(window.get_by_alt_text(re.compile("^reconstruction"))).to_have_count(6)
    scores = [window.locator(".ai-strip figcaption").all_inner_texts() for window in (page, other)]
    assert scores[0] == scores[1]
    assert sum("SSIM 1" in text for text in scores[0]) == 2  # exact, at rank 200
    other.get_by_role("button", name="Compare the three attacks").click()
    expect(other.get_by_text("What differs")).to_be_visible(timeout=PAGE_MS)
    with other.expect_download() as download:  # from several runs to a report: one click more
        other.get_by_role("button", name="Report (HTML)").click()
    assert download.value.suggested_filename.endswith(".html")
    sound(other)
    other.close()

    # The presentation view hides what operates, and its address keeps it.
    page.get_by_role("button", name="Present").click()
    page.wait_for_url(re.compile("present=1"))
    page.reload()
    expect(page.get_by_role("button", name="End presentation")).to_be_visible()
    expect(page.get_by_test_id("stHeader")).to_be_hidden()
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("() => document.fullscreenElement !== null")
    picture(page, "15-presentation")
    page.evaluate("document.exitFullscreen()")
    page.get_by_role("button", name="End presentation").click()
    expect(page.get_by_test_id("stHeader")).to_be_visible()


def test_a_run_is_presented_without_what_operates_it(page, tmp_path):
    run = synthetic.attack(tmp_path / "runs")
    page.goto(f"/attack?run={run.id}")
    operating = [page.get_by_role("button", name="New attack"), page.get_by_role("link", name="Start one like this"),
                 page.get_by_text("Config and command"), page.get_by_role("combobox", name="Attack run")]
    for part in operating:
        expect(part).to_be_visible()
    page.get_by_role("button", name="Present").click()
    page.wait_for_url(re.compile("present=1"))
    for part in operating:
        expect(part).to_be_hidden()
    expect(page.get_by_alt_text("reconstruction 1")).to_be_visible()
    picture(page, "21-presented-run")
    page.get_by_role("button", name="End presentation").click()
    expect(operating[0]).to_be_visible()


def test_six_clicks_from_the_overview_to_a_reconstruction(page):
    page.goto("/")
    page.get_by_role("button", name="Open Pretrain").click()
    page.get_by_role("button", name="Start pretraining").click()
    state_after(page, "Fine-tune this base")
    page.get_by_role("button", name="Fine-tune this base").click()
    page.get_by_role("button", name="Start fine-tuning").click()
    state_after(page, "Attack this adapter")
    page.get_by_role("button", name="Attack this adapter").click()
    page.get_by_role("button", name="Start attack").click()
    state_after(page, "Compare")
    expect(page.get_by_alt_text("reconstruction 1")).to_be_visible()
    sound(page)


def state_after(page, label: str) -> None:
    """Wait until the run has ended and leads on."""
    expect(page.get_by_test_id("stMain").get_by_role("button", name=label, exact=True)).to_be_visible(timeout=DEMO_MS)


def test_files_of_my_own_show_their_facts(page, tmp_path):
    network = MLP([784, 30, 20, 1])
    save_checkpoint(tmp_path / "mine.safetensors", network, {})
    model = get_peft_model(network, LoraConfig(r=4, lora_alpha=4, target_modules=["layers.0", "layers.1"]))
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_B" in name:
                part.normal_()
    model.save_pretrained(tmp_path / "adapter")
    page.goto("/attack")
    page.get_by_text("Upload files").click()
    boxes = page.get_by_test_id("stFileUploaderDropzoneInput")
    boxes.nth(0).set_input_files(tmp_path / "mine.safetensors")
    expect(page.get_by_text("784 – 30 – 20 – 1")).to_be_visible()
    expect(page.get_by_label("Base checkpoint", exact=True)).to_have_value(
        re.compile(r"\.uploads/.*/mine\.safetensors$"))
    boxes.nth(1).set_input_files([tmp_path / "adapter" / "adapter_config.json",
                                  tmp_path / "adapter" / "adapter_model.safetensors"])
    expect(page.get_by_text("layers.0, layers.1")).to_be_visible()
    picture(page, "16-uploaded")
