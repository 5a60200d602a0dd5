"""The first-order polish: it starts from the algebraic images, explains more, and says what won."""

import math
import time

import pytest
import torch

from core.assessment.matching import match
from core.config.monitor import Silent
from core.reconstruction.algebraic.attack import attack
from core.reconstruction.algebraic.polish import polish
from core.runs.kinds import AttackConfig
from core.threat.model import ThreatModel
from tests.helpers.cases import one_step

CONFIG = AttackConfig(method="algebraic", device="cpu", precision="float64")


class Stopped(Silent):
    def should_stop(self) -> bool:
        return True


@pytest.mark.parametrize("released", ["adapter", "weights"])
def test_blurred_images_come_back(problem, released):
    step = one_step(problem, 2)
    observation = step.adapter(rank=200) if released == "adapter" else step.weights()
    generator = torch.Generator().manual_seed(0)
    blurred = step.x + 0.2 * torch.randn(step.x.shape, generator=generator, dtype=torch.float64)
    found = polish(observation, CONFIG, Silent(), x=blurred, coefficients=1.3 * step.k, steps=300, ends=math.inf)
    assert found.residual < 0.1 * found.before
    assert min(match(found.x, step.x).values["psnr"]) > 40 > max(match(blurred, step.x).values["psnr"])
    assert torch.allclose(found.coefficients, step.k, rtol=0.05)
    assert found.features == "base"  # one step: features at the base are exact


def test_stop_and_time_reach_it(problem):
    step = one_step(problem, 2)
    arguments = {"x": step.x, "coefficients": step.k, "steps": 300}
    assert polish(step.weights(), CONFIG, Stopped(), ends=math.inf, **arguments) is None
    assert polish(step.weights(), CONFIG, Silent(), ends=time.monotonic() - 1, **arguments) is None


def test_the_attack_polishes_when_asked_and_by_itself_only_where_it_helps(problem):
    step = one_step(problem, 2)
    observation = step.adapter(rank=200, threat=ThreatModel(steps=1))
    assert attack(observation, CONFIG, Silent(), began=time.monotonic()).facts["polish"] is None
    asked = attack(observation, CONFIG.model_copy(update={"polish": 20}), Silent(), began=time.monotonic())
    assert asked.facts["polish"]["features"] == "base"
    assert min(match(asked.x, step.x.float()).values["psnr"]) > 60
