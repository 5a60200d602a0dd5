"""The HTML report: self-contained, everything in it, nothing of a stranger's text becomes markup."""

import base64
import re
from html.parser import HTMLParser

import pytest

from core.cli.main import main
from core.io.errors import InputError
from core.report.build import report
from core.report.html import bullets, charts, document, paragraph, strip, table
from core.runs.store import RunStore
from tests.helpers import synthetic

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Checks that tags close in order, and collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.fetched, self.images = [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [given[name] for name in ("src", "href") if given.get(name)]
        if tag == "img":
            self.images.append(given)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


@pytest.fixture
def root(runs_root):
    synthetic.pretrain(runs_root.root)
    synthetic.finetune(runs_root.root)
    return runs_root.root


def test_one_run_is_one_file_that_fetches_nothing(root):
    run = synthetic.attack(root)
    reader = read(text := report([run]))
    assert all(source.startswith("data:image/png;base64,") for source in reader.fetched)
    assert all(base64.b64decode(image["src"].split(",")[1])[:4] == b"\x89PNG" for image in reader.images)
    assert all(image["alt"] for image in reader.images)
    assert {image["alt"] for image in reader.images} >= {"truth 1", "reconstruction 1"}
    for words in (run.id, "Why it came out so", "Repeat it", "python -m core attack --config", "Curves", "SSIM"):
        assert words in text, words
    assert f"Seed {run.config().seed}" in text
    assert "mean SSIM" in text
    drawn = text.split("Curves</h2>")[1]
    # no plot offers to send its data anywhere
    assert drawn.count("Plotly.newPlot(") == drawn.count('"showSendToCloud": false') > 0


def test_several_runs_side_by_side_say_what_differs(root):
    runs = [synthetic.attack(root, f"attack-{seed}", seed=seed) for seed in (0, 1)]
    text = report(runs)
    read(text)
    assert "2 runs side by side" in text
    assert "What differs" in text
    assert re.search(r"<th scope=\"row\">seed</th><td>0</td><td>1</td>", text)
    assert all(run.id in text for run in runs)


def test_every_kind_of_run_has_a_report(root):
    runs = [*RunStore(root).list(), synthetic.experiment(root), synthetic.search(root),
            synthetic.attack(root, "going", state="running")]
    for run in runs:
        assert run.id in report([run]), run.id


def test_a_name_is_text_and_never_markup(root):
    text = report([synthetic.attack(root, name="<script>alert(1)</script>")])
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert table([{"a": "<b>", "c": 1}, {"a": "x"}]).count("<td>") == 2
    page = document("<i>", [paragraph("a & b"), "<p>not made by a template</p>"], charts=False)
    read(page)
    assert "<title>&lt;i&gt;</title>" in page
    assert "<p>a &amp; b</p>" in page
    assert "&lt;p&gt;not made by a template" in page


def test_what_there_is_nothing_of_leaves_no_mark():
    assert not any([paragraph(""), bullets([]), table([]), charts([])])
    strips = strip([([(None, "truth 1"), (b"png", 'a "b"')], "SSIM 0.5")])
    assert strips.count('<div class="none">not found</div>') == 1
    assert 'alt="a &#34;b&#34;"' in strips
    read(strips)


def test_runs_of_different_kinds_are_refused(root):
    with pytest.raises(InputError, match="one kind"):
        report(RunStore(root).list())
    with pytest.raises(InputError, match="at least one"):
        report([])


def test_the_command_writes_it_and_overwrites_nothing(root, tmp_path, capsys):
    run, target = synthetic.attack(root), tmp_path / "out.html"
    assert main(["report", str(run.path), "--out", str(target)]) == 0
    assert target.read_text().startswith("<!doctype html>")
    target.write_text("mine")
    assert main(["report", str(run.path), "--out", str(target)]) == 2
    assert target.read_text() == "mine"
    assert "exists already" in capsys.readouterr().err
