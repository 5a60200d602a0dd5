"""What an attack searches over."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Candidate:
    """R restarts of N samples, always with the leading restart axis: one batched computation."""

    x: Tensor       # [R, N, C, H, W], images; [0, 1] is the box, not enforced
    labels: Tensor  # [R, N] in {0, 1}
    # [R, N], positive unless the search runs over lam itself; dual variables: |sum over steps of lr * dL/df_i|; the
    # label gives the sign
    lam: Tensor
