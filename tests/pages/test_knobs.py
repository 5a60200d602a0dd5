"""The form's view of the config models."""

import pytest

from core.io.errors import InputError
from core.runs.kinds import KINDS
from pages.components.knobs import knobs, parse, typed
from pages.components.presets import NOTES, PRESETS


def knob(kind, name):
    return next(item for item in knobs(kind) if item.name == name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_a_knob_with_label_and_help(kind):
    names = {item.name for item in knobs(kind)}
    fixed = {name for name, field in KINDS[kind].model_json_schema()["properties"].items() if "const" in field}
    assert names | fixed == set(KINDS[kind].model_fields)
    assert "kind" in fixed
    for item in knobs(kind):
        assert item.label.strip()
        assert item.help
        assert f"`{item.name}`" in item.hint
    assert [item.expert for item in knobs(kind)] == sorted(item.expert for item in knobs(kind))


def test_hint_tells_range_scale_and_source():
    hint = knob("pretrain", "learning_rate").hint
    assert "Range: 1e-6 to 10, log scale." in hint
    assert "Source: Haim et al. 2022: 0.01." in hint
    assert knob("pretrain", "samples_per_class").label == "Samples per class (images)"


def test_shapes_of_knobs():
    assert knob("attack", "threat").type == "choice"
    assert knob("attack", "max_seconds").optional
    assert knob("attack", "max_seconds").minimum == 0
    assert knob("attack", "labels").type == "ints"
    assert knob("finetune", "layers").options == ["layers.0", "layers.1", "layers.2"]
    assert knob("finetune", "base").required


@pytest.mark.parametrize(("value", "text"), [
    (1e-4, "0.0001"), (1e-5, "1e-5"), (0.02, "0.02"), (149.87, "149.87"), (500.0, "500"), (1_000_000, "1,000,000"),
    (None, ""), ([1, 0], "1, 0"), (1e300, "1e300"), (-30.0, "-30"), ("adam", "adam"), (1.5e-7, "1.5e-7"),
])
def test_typed_values_read_back_as_themselves(value, text):
    assert typed(value) == text
    if isinstance(value, float):
        assert parse(knob("attack", "lr_x"), text) == value


@pytest.mark.parametrize(("name", "text", "value"), [
    ("lr_x", "1e-3", 1e-3), ("lr_x", " 2.5E-2 ", 0.025), ("iterations", "1,500", 1500), ("iterations", "5e4", 50_000),
    ("max_seconds", "", None), ("max_seconds", "90", 90.0), ("labels", "1, 0 1", [1, 0, 1]), ("labels", "", None),
])
def test_parse_takes_what_people_type(name, text, value):
    assert parse(knob("attack", name), text) == value


@pytest.mark.parametrize(("name", "text"), [
    ("lr_x", "fast"), ("lr_x", ""), ("iterations", "1.5"), ("iterations", "inf"), ("labels", "one"),
])
def test_parse_names_the_field_and_an_example(name, text):
    with pytest.raises(InputError, match=rf"^{name}: .*type for example"):
        parse(knob("attack", name), text)


@pytest.mark.parametrize("kind", PRESETS)
def test_presets_are_valid_configs(kind):
    for name, values in PRESETS[kind].items():
        required = {"base": "somewhere.safetensors"} if kind in ("finetune", "experiment") else {}
        KINDS[kind](**{**required, **values})
        assert NOTES[kind, name]
