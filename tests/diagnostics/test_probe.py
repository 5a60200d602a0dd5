import json

import pytest
import torch

from core.diagnostics.probe import Probe


def test_measure_against_the_multiplied_out_network(moved):
    probe = Probe(moved.network, moved.x, moved.labels)
    found = probe.measure(probe.with_factors(moved.update))
    logits = {"before": moved.network(moved.x).requires_grad_(), "after": moved.moved(moved.x).requires_grad_()}
    losses = {name: torch.nn.functional.binary_cross_entropy_with_logits(value, moved.labels.double())
              for name, value in logits.items()}
    g = {name: torch.autograd.grad(losses[name], logits[name])[0] for name in logits}
    assert found.loss == pytest.approx(losses["after"].item(), rel=1e-12)
    assert found.coefficients == pytest.approx(g["after"].tolist(), rel=1e-12)
    assert found.coefficient_drift == pytest.approx((g["after"] / g["before"] - 1).abs().tolist(), rel=1e-9)

    start = torch.cat([p.flatten() for p in moved.network.parameters()])
    change = torch.cat([p.flatten() for p in moved.moved.parameters()]) - start
    assert found.weight_change == pytest.approx((change.norm() / start.norm()).item(), rel=1e-12)


def test_no_update_is_theta_0(moved):
    probe = Probe(moved.network, moved.x, moved.labels)
    found = probe.measure(probe.with_factors({}))
    assert found.weight_change == 0
    assert found.coefficient_drift == [0.0] * 5
    assert set(found.flips.values()) == {0.0}


def test_flipped_names_the_pairs_that_the_shares_count(moved):
    probe = Probe(moved.network, moved.x, moved.labels)
    after = probe.with_factors(moved.update)
    pairs = probe.flipped(after)
    assert {name: float(each.double().mean()) for name, each in pairs.items()} == pytest.approx(
        probe.measure(after).flips)
    signs = moved.network.layers[0](moved.network.centre(moved.x)) > 0, moved.moved.layers[0](
        moved.network.centre(moved.x)) > 0
    assert torch.equal(pairs["layers.0"], signs[0] != signs[1])


def test_row_is_flat_and_json(moved):
    probe = Probe(moved.network, moved.x, moved.labels)
    row = probe.measure(probe.with_factors(moved.update)).row()
    assert {"loss", "flips.layers.0", "feature_cosine_mean", "kink_distance.layers.0", "weight_change"} <= set(row)
    assert all(isinstance(value, float) or [isinstance(item, float) for item in value] == [True] * 5
               for value in row.values())
    assert json.loads(json.dumps(row)) == row


def test_probe_leaves_the_network_alone(moved):
    before = {name: tensor.clone() for name, tensor in moved.network.state_dict().items()}
    probe = Probe(moved.network, moved.x, moved.labels)
    probe.measure(probe.with_factors(moved.update))
    assert all(torch.equal(before[name], tensor) for name, tensor in moved.network.state_dict().items())


def test_a_whole_network_measures_like_the_update_that_makes_it(moved):
    """Multiplied out, and then with its biases moved as well."""
    probe = Probe(moved.network, moved.x, moved.labels)
    by_update = probe.measure(probe.with_factors(moved.update)).row()
    by_network = probe.measure(probe.with_weights(moved.moved)).row()
    assert set(by_update) == set(by_network)
    for name, value in by_update.items():
        assert by_network[name] == pytest.approx(value, rel=1e-9, abs=1e-12)
    biases = [layer.bias for layer in moved.moved.layers if layer.bias is not None]
    for bias in biases:
        bias += 0.1
    further = probe.measure(probe.with_weights(moved.moved))
    assert (further.weight_change > by_update["weight_change"]) == bool(biases)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(moved.moved(moved.x), moved.labels.double())
    assert further.loss == pytest.approx(loss.item(), rel=1e-12)
