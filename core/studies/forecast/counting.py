"""Measurements against unknowns: what an update holds of each sample, before anybody looks for it.

With exact patterns each trained hidden layer l gives r linear measurements of its input, A_l h_l, and h_l is linear
in the image; and a sign for each of its neurons. A dense layer that changed in full gives its whole input.
"""

from dataclasses import dataclass

from core.studies.forecast.setting import PUBLISHED, Setting


@dataclass(frozen=True)
class Counts:
    """Of one sample that has been separated from the others."""

    unknowns: int                # pixels
    by_layer: dict[str, int]     # linear measurements that each trained hidden layer gives
    signs: int                   # inequalities: neurons on or off
    separable: bool              # enough ranks to tell the samples apart
    pixels_measured: bool        # the first layer is among the trained ones

    @property
    def equations(self) -> int:
        return sum(self.by_layer.values())

    @property
    def determined(self) -> bool:
        return self.pixels_measured and self.separable and self.equations >= self.unknowns


def measurements(setting: Setting) -> Counts:
    """Counts for a setting; where the base's widths are not known, those of the published network stand in."""
    widths = setting.widths or PUBLISHED
    hidden = {f"layers.{index}": index for index in range(len(widths) - 2)}
    trained = {name: hidden[name] for name in setting.layers if name in hidden}
    by_layer = {name: widths[index] if setting.rank is None else min(setting.rank, widths[index])
                for name, index in trained.items()}
    separable = setting.rank is None or setting.samples is None or setting.rank >= setting.samples
    return Counts(widths[0], by_layer, sum(widths[index + 1] for index in trained.values()), separable,
                  "layers.0" in trained)


def sufficient_rank(setting: Setting) -> int | None:
    """The least rank from which on the equations alone fix every pixel; None where no rank does."""
    widths = setting.widths or PUBLISHED
    inputs = [widths[index] for index in range(len(widths) - 2) if f"layers.{index}" in setting.layers]
    if "layers.0" not in setting.layers:
        return None
    return next(rank for rank in range(1, widths[0] + 1)
                if sum(min(rank, width) for width in inputs) >= widths[0])
