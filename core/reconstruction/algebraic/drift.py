"""How far the factor A of the first layer moved while training, read off the update itself.

A step moves A by scaling * B^T G. With the measured B / scaling = sum_l e_l v_l^T and G = sum_j k_j e_j x_j^T, half of
the change that the last B would make is

    dA x_i = scaling^2 / 2 * sum_j k_j (sum_l <e_l, e_j> v_l) <x_j, x_i>

against A x_i = v_i / k_i. k_i and |x| are known only roughly here, which is enough to tell 2 % from 50 %.
"""

from torch import Tensor

from core.reconstruction.algebraic.separation import Separation
from core.reconstruction.algebraic.updates import TYPICAL
from core.threat.layer_update import LayerUpdate

STILL = 0.02        # relative change below which A counts as it was
BLURRED = 100.0     # times the stored precision: a noisier update than that had more than one step


def drift(update: LayerUpdate, separation: Separation) -> Tensor:
    """Relative change of A x_i by the sample's own part, [N], if there were many steps."""
    first = separation.layers[0]
    size = first.measured.norm(dim=1)
    square = TYPICAL ** 2 * update.A.shape[1]
    k = size / (update.A.norm() * TYPICAL)
    pull = ((first.signal @ first.signal.T) @ first.measured).norm(dim=1)
    return update.scaling ** 2 / 2 * k ** 2 * pull * square / size.clamp(min=1e-300)


def many_steps(update: LayerUpdate, separation: Separation, *, steps: int | None) -> bool:
    """Whether the update is noisier than the rounding that a single step leaves; `steps` where it is known."""
    if steps is not None:
        return steps > 1
    first = separation.layers[0]
    noise = float((first.noise / first.measured.norm(dim=1) * first.measured.shape[1] ** 0.5).max())
    # An adapter that is a difference carries the rounding of what was subtracted as well.
    rounding = update.floor / float(update.B.norm()) if update.scaling else 0.0
    return noise >= BLURRED * max(update.precision, rounding)


def drift_over_steps(update: LayerUpdate, separation: Separation, *, steps: int | None) -> float:
    """The largest drift of the samples; 0 after a single step (`steps` where it is known), or where it is below what a
    measurement's own noise hides."""
    if update.scaling == 0 or not many_steps(update, separation, steps=steps):
        return 0.0
    found = float(drift(update, separation).max())
    return found if found > STILL else 0.0
