"""An update of one layer in one form, whatever was released: B = sum_i k_i e_i (A h_i)^T plus noise.

For an adapter, B and A are its factors. A full weight change dW is B with A the identity: what a sample
measures is then k_i h_i itself, every pixel. A change of the bias is the column of the constant input 1.
An adapter that began with A = 0 and a drawn B shows the other side: A_T / scaling = sum_i k_i (B^T e_i) h_i^T,
whose rows lie in the span of the inputs. That is this form with A the identity and the signals e_i seen through B^T.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LayerUpdate:
    """One layer, float64 on the CPU. Its input is (h, 1) where `with_bias`, else h."""

    B: Tensor             # [n_out, r], or [r, n_in] where `left` is given
    A: Tensor             # [r, n_in] or [r, n_in + 1]
    with_bias: bool
    precision: float      # relative rounding of a stored entry
    floor: float          # spectral norm that rounding alone may have, whatever B is
    scaling: float        # of an adapter, whose A is trained too; 0 where A is no factor but the identity
    left: Tensor | None = None   # [r, n_out], what the signals are seen through; None is the identity
    blurred: bool = False   # what a sample measures is h only on average (`core.threat.merged`)

    @property
    def cut(self) -> bool:
        """Whether A is a factor of its own, which cuts the update to its rank."""
        return self.scaling != 0
