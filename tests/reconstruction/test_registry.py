"""A method is one file: what is written there is all that configs, forms, command line, auto and titles need."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from core.io.errors import InputError
from core.reconstruction import registry
from core.reconstruction.registry import METHODS, foreign, named, owners
from core.runs.kinds import AttackConfig, SearchConfig

ROOT = Path(__file__).parents[2]
TOY = '''
"""Guesses grey."""

from core.config.knob import knob
from core.reconstruction.method import UPDATES, Answer, Method
from core.config.attack import AttackKnobs


class ToyKnobs(AttackKnobs):
    shade: float = knob(0.5, help="The grey that is guessed.", ge=0.0, le=1.0)


def run(observation, config, monitor, *, began, prepared=None):
    import torch
    from core.reconstruction.result import AttackResult
    from core.reconstruction.solvers.protocol import Status

    x = torch.full((1, *observation.network.image_shape), config.shade)
    return AttackResult(reason=prepared or "It was asked for.", status=Status.SOLVED, x=x, labels=torch.tensor([1]),
                        coefficients=torch.tensor([1.0]), samples_found_by="a guess", labels_found_by="a guess",
                        confidence=[0.0], residuals={"residual": 1.0}, limits=["It guesses."],
                        tensors={"x": x[None]})


METHOD = Method(name="toy", title="Toy", note="Guesses grey.", accepts=UPDATES, needs="needs an update.",
                knobs=ToyKnobs, run=run, suits=lambda observation: Answer(True, "It always guesses.", "Prepared."),
                order=-1, searches=False, explains_weights=False)
'''
# What a dashboard and a command line do with it, in a process in which the file lies in the folder of methods.
USED = '''
import sys, json, time
from core.reconstruction import methods
methods.__path__.append(sys.argv[1])

from core.runs.kinds import parse_config
from core.reconstruction import registry
from core.plots.titles import title
from pages.components.knobs import knobs

config = parse_config({"kind": "attack", "method": "toy", "shade": 0.25, "finetune": "a-run"})
assert config.shade == 0.25 and title(config) == "Toy, informed", title(config)
shown = {knob.name: knob for knob in knobs("attack")}
assert "toy" in shown["method"].options and shown["shade"].hint.startswith("Toy: The grey that is guessed.")
assert "shade" in registry.foreign("ntk") and "lr_x" in registry.foreign("toy")
assert "torch" not in sys.modules

from core.cli.main import main
code = main(["attack", "--checkpoint", sys.argv[2], "--adapter", sys.argv[3], "--method", sys.argv[4],
             "--shade", "0.75", "--out", sys.argv[5]])
assert code == 0, code
report = json.load(open(sys.argv[5] + "/report.json"))
print(report["method"], report["method_reason"])
'''


@pytest.mark.parametrize(("asked", "reason"), [("toy", "It was asked for."), ("auto", "It always guesses.")])
def test_a_new_method_is_one_file(tmp_path, released_files, asked, reason):
    folder = tmp_path / "more_methods"
    folder.mkdir()
    (folder / "toy.py").write_text(textwrap.dedent(TOY))
    base, adapter = released_files
    done = subprocess.run([sys.executable, "-c", USED, folder, base, adapter, asked, tmp_path / "out"], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"toy {reason}"


def test_every_method_says_what_it_takes(problem):
    for method in METHODS.values():
        assert method.accepts
        assert method.needs.endswith(".")
        assert method.note.endswith(".")
        assert set(method.empty) <= set(method.knobs.model_fields)
    assert [method.order for method in METHODS.values()] == sorted(method.order for method in METHODS.values())


def test_a_knob_belongs_to_the_methods_that_declare_it():
    assert [method.name for method in owners("min_lambda")] == ["kkt"]
    assert {method.name for method in owners("tv_weight")} == set(METHODS)
    assert owners("finetune") == ()
    assert foreign("auto") == frozenset()
    assert {"min_lambda", "candidates"} <= foreign("ntk")
    assert not {"lr_x", "tv_weight", "features"} & foreign("ntk")
    for name, method in METHODS.items():  # what no method shares stands once, so that a stored config says all
        assert set(method.knobs.model_fields) <= set(AttackConfig.model_fields), name


def test_an_empty_knob_is_explained_from_the_numbers_that_count():
    assert registry.described("relu_alpha_start", "Sharpness.") == "NTK, KKT: Sharpness. Empty: 20 for NTK, 5 for KKT."
    assert registry.described("finetune", "A run.") == "A run."


def test_a_name_that_is_not_known():
    with pytest.raises(InputError, match="choose auto or one of algebraic, ntk, kkt"):
        named("magic")
    assert registry.title("magic") == "magic"  # of a stored run, whose method may be gone
    assert registry.title("auto") == "Auto"


def test_a_search_varies_what_is_declared_with_a_range():
    schema = SearchConfig.model_json_schema()["properties"]
    assert set(schema["method"]["enum"]) == {"ntk", "kkt"}
    assert set(schema["knobs"]["items"]["enum"]) == {"init_scale", "lr_x", "lr_coefficients", "min_lambda",
                                                    "relu_alpha_start", "relu_alpha_end"}
