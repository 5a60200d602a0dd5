"""The picture of a network on the plane."""

import torch

from core.assessment.matching import match
from core.diagnostics.plane import PLACES, landscape, plane, points
from core.models.mlp import MLP
from core.plots.plane_figure import plane_figure


def half_plane() -> MLP:
    """f(x, y) = x - 0.5."""
    network = MLP([2, 2, 1], image_shape=(1, 1, 2)).requires_grad_(False)
    network.layers[0].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    network.layers[0].bias.copy_(torch.tensor([-0.5, 0.5]))
    network.layers[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
    return network


def test_the_lattice_is_by_row_of_y():
    data = landscape(half_plane(), margin=0.25)
    logits = torch.tensor(data["logits"])
    assert logits.shape == (PLACES, PLACES)
    assert torch.allclose(logits[0], torch.tensor(data["ticks"]) - 0.5, atol=1e-6)
    assert torch.allclose(logits[0], logits[-1])


def test_boundary_margins_and_each_class_of_points_are_drawn():
    marks = [points("training point", [[0.2, 0.3], [0.8, 0.6]], [0, 1], [1.0, 0.5]),
             points("reconstruction", torch.tensor([[0.7, 0.7]]), [1])]
    figure = plane_figure(plane(landscape(half_plane(), margin=0.25), marks, ("minus", "plus")), revision="r")
    levels = [trace.contours.start for trace in figure.data if trace.type == "contour"]
    assert levels == [0.0, 0.25, -0.25]
    drawn = {trace.name: list(zip(trace.x, trace.y, strict=True)) for trace in figure.data if trace.type == "scatter"}
    assert list(drawn) == ["training point, minus", "training point, plus", "reconstruction, plus"]
    assert drawn["training point, plus"][0] == (torch.tensor(0.8).item(), torch.tensor(0.6).item())


def test_points_are_matched_by_distance():
    truth = torch.tensor([[0.1, 0.1], [0.9, 0.9], [0.5, 0.5]])[:, None, None, :]
    found = match(torch.tensor([[0.9, 0.87], [0.1, 0.2]])[:, None, None, :], truth)
    assert found.assignment == [1, 0, None]
    assert torch.allclose(torch.tensor(found.values["distance"]), torch.tensor([0.1, 0.03, 2**0.5]))
    assert found.recovered == 1
