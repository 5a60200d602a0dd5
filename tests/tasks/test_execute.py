"""One run in this process: environment, exit codes, signals, and the loss of its supervisor."""

import os
import signal
import time

import pytest
import torch

from core.config.pretrain import PretrainConfig
from core.host import products
from core.host.environment import pinned_packages
from core.io.errors import InputError
from core.io.files import write_json
from core.runs.directory import create
from core.tasks import execute as module
from core.tasks.execute import ABORTED, BAD_INPUT, DONE, FAILED, SUPERVISOR, execute


@pytest.fixture
def run(tmp_path):
    return create(tmp_path / "one", PretrainConfig(device="cpu"))


@pytest.fixture
def engine(monkeypatch):
    """Replace the pretraining engine by a function of the recorder."""
    def use(function):
        monkeypatch.setattr("core.tasks.pretrain.execute", lambda run, config, recorder: function(recorder))
    return use


def wait_for_stop(recorder):
    deadline = time.monotonic() + 10
    while not recorder.should_stop():
        assert time.monotonic() < deadline, "nobody asked to stop"
        time.sleep(0.01)


def test_done(run, engine):
    engine(lambda recorder: recorder.progress(1, 1))
    assert execute(run) == DONE
    assert run.status().state == "done"


def test_the_environment_is_written_before_the_engine_starts(run, engine, monkeypatch):
    monkeypatch.setenv("AFTERIMAGE_SLOTS", str(2 * os.cpu_count()))
    seen = {}
    engine(lambda recorder: seen.update(recorder.run.environment(), torch_threads=torch.get_num_threads()))
    assert execute(run) == DONE
    assert seen["device"] == "cpu, float32"
    assert seen["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert set(seen["packages"]) == set(pinned_packages())
    assert seen["threads"] == seen["torch_threads"] == 1


def test_a_resumed_run_multiplies_by_the_library_it_began_with(run, engine, monkeypatch):
    monkeypatch.setattr(products, "trial", lambda: products.Trial(error=4e-7, speedup=2.0))
    seen = []

    def stopped(recorder):
        seen.append((recorder.run.environment()["products"], torch.backends.mkldnn.matmul.fp32_precision))
        recorder.save_checkpoint({}, {"step": 1})
        recorder.ask_to_stop("")

    engine(stopped)
    assert execute(run) == DONE
    monkeypatch.setattr(products, "trial", lambda: products.Trial(error=4e-7, speedup=0.9))
    run.reset_for_resume()
    assert execute(run) == DONE
    assert seen == [("onednn", "bf16")] * 2
    assert "oneDNN's float32 products, as before" in run.log_tail()

    stored = run.environment()
    del stored["products"]  # a run of before environments named them
    write_json(run.file("environment.json"), stored)
    run.reset_for_resume()
    assert execute(run) == DONE
    assert seen[-1] == ("plain", "ieee")


@pytest.mark.parametrize(("error", "code", "said"), [
    (InputError("rank: must be\nat least 1."), BAD_INPUT, "afterimage: rank: must be at least 1.\n"),
    (RuntimeError("no luck"), FAILED, "afterimage: RuntimeError: no luck (see "),
    (MemoryError(), FAILED, "afterimage: MemoryError: no message"),
])
def test_failures_are_one_line_and_a_code(run, engine, capfd, error, code, said):
    def fail(recorder):
        raise error

    engine(fail)
    assert execute(run) == code
    output = capfd.readouterr().err
    assert output.startswith(said)
    assert output.count("\n") == 1
    assert run.status().state == "failed"


def test_a_run_without_its_config_is_bad_input(run, capfd):
    run.file("config.json").unlink()
    assert execute(run) == BAD_INPUT
    assert "has no config.json" in capfd.readouterr().err


def test_a_device_that_is_not_here_is_bad_input(tmp_path, capfd):
    absent = "mps" if not torch.backends.mps.is_available() else "cuda"
    run = create(tmp_path / "one", PretrainConfig(device=absent))
    assert execute(run) == BAD_INPUT
    assert run.status().message.startswith(f"device: '{absent}' is not available")


def test_bad_slots_are_named(run, monkeypatch):
    monkeypatch.setenv("AFTERIMAGE_SLOTS", "none")
    assert execute(run) == BAD_INPUT
    assert run.status().message.startswith("AFTERIMAGE_SLOTS: 'none'")


def test_ctrl_c_stops_and_a_second_aborts(run, engine):
    def interrupted_once(recorder):
        os.kill(os.getpid(), signal.SIGINT)
        wait_for_stop(recorder)
        recorder.save_checkpoint({}, {"step": 7})

    engine(interrupted_once)
    assert execute(run) == DONE
    assert (run.status().state, run.status().message) == ("stopped", "Stopped from the keyboard.")
    assert run.file("checkpoint.safetensors").exists()

    def interrupted_twice(recorder):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    engine(interrupted_twice)
    run.reset_for_resume()
    assert execute(run) == ABORTED
    assert run.status().state == "stopped"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])
def test_a_batch_systems_signal_interrupts_with_a_checkpoint(run, engine, number):
    def warned(recorder):
        os.kill(os.getpid(), number)
        wait_for_stop(recorder)

    engine(warned)
    assert execute(run) == FAILED
    assert run.status().state == "interrupted"
    assert number.name in run.status().message


def test_sigterm_after_a_stop_request_is_a_stop(run, engine):
    def stopped(recorder):
        recorder.run.request_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for_stop(recorder)

    engine(stopped)
    assert execute(run) == DONE
    assert run.status().state == "stopped"


def test_a_lost_supervisor_interrupts_the_run(run, engine, monkeypatch):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.02)
    monkeypatch.setenv(SUPERVISOR, "1" if os.getppid() != 1 else "2")  # not our parent: it has gone
    engine(wait_for_stop)
    assert execute(run) == FAILED
    assert run.status().state == "interrupted"
    assert "vanished" in run.status().message


def test_a_living_supervisor_does_not(run, engine, monkeypatch):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.02)
    monkeypatch.setenv(SUPERVISOR, str(os.getppid()))

    def look_around(recorder):
        time.sleep(0.3)
        assert not recorder.should_stop()

    engine(look_around)
    assert execute(run) == DONE
