"""A vision transformer (ViT, Dosovitskiy et al. 2021) as transformers builds it, and what its first block is given.

The inputs of the first block's attention never move while adapters are trained: they are each patch, embedded, placed
and normalised. With x_t the pixels of patch t in [0, 1],

    v_t = E x_t + o_t,    h_t = gain * (v_t - mean(v_t)) / s_t + shift,    s_t = sqrt(var(v_t) + eps),

affine in the pixels up to the one number s_t. The class token's h_0 is the same for every image, and public.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import fold, unfold

from core.io.errors import InputError
from core.models.mlp import standardised

if TYPE_CHECKING:
    from transformers import ViTForImageClassification

# transformers named its modules otherwise before version 5, and adapters keep the names that they were made with.
RENAMED = ((r"\bencoder\.layer\.(\d+)\.", r"layers.\1."), (r"\battention\.attention\.(query|key|value)$",
                                                            lambda match: f"attention.{match[1][0]}_proj"),
           (r"\battention\.output\.dense$", "attention.o_proj"), (r"\bintermediate\.dense$", "mlp.fc1"),
           (r"(layers\.\d+)\.output\.dense$", r"\1.mlp.fc2"))


@dataclass(frozen=True)
class PatchInputs:
    """What the first block's attention is given (see above), for T patches of D = C ph pw pixels."""

    embedding: Tensor   # E [d, D], for pixels in [0, 1]
    offset: Tensor      # o [T, d]: bias, place and what the mean of the inputs takes away
    gain: Tensor        # [d]
    shift: Tensor       # [d]
    eps: float
    public: Tensor      # h_0 [d], of the class token
    image_shape: tuple[int, int, int]
    size: int           # ph = pw

    def patches(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] as patches [N, T, D], row by row."""
        return unfold(x, self.size, stride=self.size).transpose(1, 2)

    def images(self, patches: Tensor) -> Tensor:
        """Patches [N, T, D] as images [N, C, H, W]."""
        return fold(patches.transpose(1, 2), self.image_shape[1:], self.size, stride=self.size)

    def embedded(self, patches: Tensor) -> Tensor:
        """v [..., T, d] of patches [..., T, D]."""
        return patches @ self.embedding.T + self.offset

    def scale(self, patches: Tensor) -> Tensor:
        """s [..., T] of patches [..., T, D]."""
        return (self.embedded(patches).var(-1, unbiased=False) + self.eps).sqrt()

    def inputs(self, patches: Tensor) -> Tensor:
        """h [..., T, d] of patches [..., T, D]."""
        v = self.embedded(patches)
        return self.gain * (v - v.mean(-1, keepdim=True)) / self.scale(patches)[..., None] + self.shift


class VisionTransformer(nn.Module):
    """Input: images [N, C, H, W] in [0, 1]; output: logits [N, K] of K classes."""

    fully_connected: ClassVar[bool] = False
    attends: ClassVar[bool] = True

    def __init__(self, model: "ViTForImageClassification") -> None:
        super().__init__()
        self.model = model
        config = model.config
        self.register_buffer("input_mean", torch.zeros(config.num_channels, config.image_size, config.image_size))
        self.register_buffer("input_std", None)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.input_mean.shape)

    @property
    def outputs(self) -> int:
        return self.model.config.num_labels

    def describe(self) -> str:
        """Its shape in a few words."""
        config = self.model.config
        return (f"vision transformer, {config.num_hidden_layers} blocks of {config.hidden_size}, patches of "
                f"{config.patch_size}, {self.outputs} outputs")

    def file_metadata(self) -> dict[str, str]:
        """It is saved as a folder, whose ``config.json`` says all."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        return self.model(standardised(self, x)).logits

    def linear_layers(self) -> dict[str, nn.Linear]:
        """By name, as adapters know them; the names are those of transformers 5, whichever version made the model."""
        return {canonical(name): module for name, module in self.model.named_modules() if isinstance(module, nn.Linear)}

    def layer_at(self, path: str) -> str | None:
        """The name in `linear_layers` of a module path in an adapter; None where it is none of them."""
        path = canonical(path)
        return path if path in self.linear_layers() else None

    def patch_inputs(self) -> PatchInputs:
        """Float64. Raises `InputError` where pixels of one channel are divided by different deviations."""
        embeddings = self.model.vit.embeddings
        projection = embeddings.patch_embeddings.projection
        size, norm = projection.kernel_size[0], self._first_norm()
        E, bias = projection.weight.detach().cpu().double().flatten(1), projection.bias.detach().cpu().double()
        std = torch.ones_like(self.input_mean) if self.input_std is None else self.input_std
        std, mean = std.cpu().double(), self.input_mean.cpu().double()
        by_patch = unfold(std[None], size, stride=size)[0]                      # [D, T]
        if not torch.allclose(by_patch, by_patch[:, :1].expand_as(by_patch)):
            raise InputError("input_std: every patch of a vision transformer needs the same deviations; give one "
                             "number a channel.")
        E = E / by_patch[:, 0]
        position = embeddings.position_embeddings.detach().cpu().double()[0]
        token = embeddings.cls_token.detach().cpu().double()[0, 0]
        offset = bias + position[1:] - unfold(mean[None], size, stride=size)[0].T @ E.T
        gain, shift = norm.weight.detach().cpu().double(), norm.bias.detach().cpu().double()
        public = nn.functional.layer_norm(token + position[0], (len(token),), gain, shift, norm.eps)
        return PatchInputs(E, offset, gain, shift, norm.eps, public, self.image_shape, size)

    def _first_norm(self) -> nn.LayerNorm:
        return next(module for name, module in self.model.named_modules()
                    if re.search(r"layers?\.0\.layernorm_before$", name))


def canonical(path: str) -> str:
    """A module path of any version of transformers in the names of version 5."""
    for old, new in RENAMED:
        path = re.sub(old, new, path)
    return path
