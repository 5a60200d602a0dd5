"""Spectrum, coefficients and neurons by samples: plot data and figures."""

import numpy as np
import pytest
import torch

from core.io.errors import InputError
from core.io.files import write_tensors
from core.plots.anatomy_figures import coefficient_figure, gate_figure, spectrum_figure
from core.plots.coefficients import coefficient_chart
from core.plots.patterns import MISSING, differing_gates, flipped_neurons, read_rows, separated_patterns
from core.plots.spectrum import spectrum_chart
from core.runs.reports.attack import AttackReport
from core.runs.reports.training import FinetuneReport

SPECTRUM = {"layers.0": {"values": [2.0, 0.2, 2e-9, 0.0], "noise": 2e-7, "samples": 2},
            "layers.1": {"values": [4.0, 0.1, 1e-3], "noise": 4e-7, "samples": 3}}


def array(*rows: str) -> np.ndarray:
    return np.array([[int(letter) for letter in row] for row in rows], np.uint8)


def test_a_spectrum_is_relative_and_names_gap_noise_and_n():
    chart = spectrum_chart(AttackReport(samples=2, spectrum=SPECTRUM))
    first, second = chart.layers
    assert (first.name, second.name) == ("layer 1", "layer 2")
    assert first.values[:2] == [1.0, 0.1]
    assert first.noise == pytest.approx(1e-7)
    assert first.values[2:] == pytest.approx([1e-9, 1e-10])  # zero stands a little below the noise
    assert first.gap == pytest.approx(0.1 / 1e-7)  # to the noise, which is larger than what follows
    assert second.gap == pytest.approx(2.5e-4 / 1e-7)
    figure = spectrum_figure(chart, revision="r")
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.shapes[0].x0 == 2.5
    assert "N = 2" in figure.layout.annotations[0].text
    assert "1" in figure.layout.annotations[0].text.split("factor")[1]
    assert [trace.line.dash for trace in figure.data] == [None, "dash", None, "dash"]


def test_no_spectrum_no_chart():
    assert spectrum_chart(None) is None
    assert spectrum_chart(AttackReport(samples=1)) is None
    assert spectrum_chart(FinetuneReport(samples=1, spectrum={})) is None


def test_patterns_are_sorted_by_word_and_doubtful_neurons_stand_apart():
    on = array("01101", "11001")
    certain = array("11111", "01111")
    picture = separated_patterns({"layers.0": on}, {"layers.0": certain}, names=["1 · odd", "2 · even"])
    (layer,) = picture.layers
    assert layer.neurons.tolist() == [2, 5, 3, 4, 1]
    assert layer.cells.tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 0, 2]]
    assert layer.apart == 1
    assert layer.note == "5 neurons in 3 words, 1 neuron uncertain"
    figure = gate_figure(picture, revision="r")
    named = {trace.name for trace in figure.data if trace.type == "heatmap"}
    assert named == {"on", "off", "uncertain"}
    drawn = next(trace for trace in figure.data if trace.type == "heatmap")
    assert drawn.z.shape == (2, 5 + 3)  # and the gap
    assert not (~np.isnan(drawn.z[:, 4:7])).any()


def test_patterns_follow_the_order_of_the_truth():
    on = {"layers.0": array("10", "01", "11")}
    picture = separated_patterns(on, {}, order=[2, None, 0], names=["a", "b", "c"])
    assert picture.rows == ["a", "c"]
    assert picture.layers[0].cells.tolist() == [[1, 1], [1, 0]]
    assert separated_patterns({}, {}) is None
    assert separated_patterns(on, {}, order=[None]) is None


def test_flips_draw_only_neurons_that_flipped():
    picture = flipped_neurons({"layers.0": array("0010", "0110"), "layers.1": array("00", "00")})
    (layer,) = picture.layers
    assert layer.neurons.tolist() == [3, 2]
    assert layer.cells.tolist() == [[1, 0], [1, 1]]
    assert layer.note == "2 of 4 neurons flipped for some sample"
    assert flipped_neurons({"layers.0": array("00")}) is None
    gate_figure(picture, revision="r")


def test_many_flips_show_the_most_frequent_ones():
    rows = np.ones((60, 2500), np.uint8)
    rows[:30, :1000] = 0
    (layer,) = flipped_neurons({"layers.0": rows}).layers
    assert layer.cells.shape == (40, 2000)
    assert set(range(1001, 2501)) < set(layer.neurons.tolist())
    assert layer.note.endswith("the most frequent here")


def test_differing_gates_name_the_direction_and_what_is_missing():
    truth, found = array("1010", "1100"), array("1001", "0000")
    found[1] = MISSING
    picture = differing_gates({"layers.0": truth}, {"layers.0": found})
    (layer,) = picture.layers
    assert sorted(layer.neurons.tolist()) == [3, 4]
    by_neuron = dict(zip(layer.neurons.tolist(), layer.cells.T.tolist(), strict=True))
    assert by_neuron == {3: [1, 3], 4: [2, 3]}
    assert [state.name for state in picture.states][-1] == "target not found"
    assert differing_gates({"layers.0": truth}, {"layers.0": truth}) is None


def test_rows_are_read_by_prefix(tmp_path):
    path = tmp_path / "result.safetensors"
    assert read_rows(path, "patterns") == {}
    write_tensors(path, {"patterns.layers.1": torch.ones(2, 3, dtype=torch.uint8), "x": torch.zeros(1)})
    assert {name: rows.shape for name, rows in read_rows(path, "patterns").items()} == {"layers.1": (2, 3)}
    assert read_rows(path, "certain") == {}
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"^patterns: "):
        read_rows(path, "patterns")


def test_coefficients_in_the_order_of_the_truth_beside_the_true_ones():
    report = {"method": "algebraic", "coefficients": [-1e-5, 4e-5], "labels": [0, 1], "spectrum": SPECTRUM,
              "score": {"assignment": [1, 0], "coefficients": [8e-5, 2e-5], "labels": [1, 1]}}
    chart = coefficient_chart(AttackReport(**report), rounding_floor=1e-5)
    recovered, true = chart.series
    assert recovered.values == [1.0, 0.25]
    assert recovered.sizes == [4e-5, -1e-5]
    assert true.values == [1.0, 0.25]
    assert chart.names == ["1 · odd", "2 · odd · wrong label"]
    figure = coefficient_figure(chart, revision="r")
    assert figure.layout.shapes[0].y0 == 1e-5
    assert [trace.name for trace in figure.data] == ["recovered", "true"]


def test_coefficients_without_truth_take_the_noise_of_the_update():
    report = {"method": "ntk", "coefficients": [1e-5], "labels": [0], "spectrum": SPECTRUM, "score": None}
    chart = coefficient_chart(AttackReport(**report))
    assert [series.name for series in chart.series] == ["recovered"]
    assert chart.floor == pytest.approx(1e-7)
    assert chart.floor_name == "noise of the update"
    assert coefficient_chart(AttackReport(method="ntk")) is None


def test_multipliers_of_trained_weights_are_not_set_beside_fine_tuning_coefficients():
    report = {"method": "kkt", "coefficients": [0.3], "labels": [0],
              "score": {"assignment": [0], "coefficients": [1e-5], "labels": [0]}}
    assert len(coefficient_chart(AttackReport(**report)).series) == 1


def test_a_target_that_was_not_found_has_no_bar():
    report = {"method": "ntk", "coefficients": [1e-5], "labels": [0],
              "score": {"assignment": [None, 0], "coefficients": [1e-5, 1e-5], "labels": [0, 0]}}
    chart = coefficient_chart(AttackReport(**report))
    assert chart.series[0].values == [None, 1.0]
    assert coefficient_figure(chart, revision="r").data[0].y[0] is None
