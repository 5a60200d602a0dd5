"""What an attack searches over."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Candidate:
    """R restarts of N samples, always with the leading restart axis: one batched computation."""

    x: Tensor       # [R, N, *shape], samples of one modality (images [C, H, W]); its range is a box, not enforced
    labels: Tensor  # [R, N] in {0, 1}
    # [R, N], positive unless the search runs over lam itself; dual variables: |sum over steps of lr * dL/df_i|; the
    # label gives the sign
    lam: Tensor
