"""All methods of attack: every file of the folder ``methods`` that holds a ``METHOD``."""

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

from core.config.attack import AttackKnobs
from core.io.errors import InputError
from core.reconstruction import methods as folder
from core.reconstruction.method import Method

AUTO = "auto"  # takes the first method that suits (`core.reconstruction.auto`)


def _found() -> Iterator[Method]:
    for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
        method = getattr(importlib.import_module(module.name), "METHOD", None)
        if isinstance(method, Method):
            yield method


# In the order in which auto asks them.
METHODS: dict[str, Method] = {method.name: method for method in sorted(_found(), key=lambda method: method.order)}


def named(name: str) -> Method:
    """The method of that name; raises `InputError`."""
    if name not in METHODS:
        raise InputError(f"method: {name!r} is not known; choose {AUTO} or one of {', '.join(METHODS)}.")
    return METHODS[name]


def title(name: str) -> str:
    """How people say it; a name that is not known (of a stored run) is left as it is."""
    return "Auto" if name == AUTO else METHODS[name].title if name in METHODS else name


def searches(name: str) -> bool:
    """Whether it has steps and restarts; of auto, which may take any method, and of a stored name not known, True."""
    return name not in METHODS or METHODS[name].searches


def explains_weights(name: str) -> bool:
    """Whether its coefficients multiply features of the weights, and not of an update."""
    return name in METHODS and METHODS[name].explains_weights


@cache
def owners(knob: str) -> tuple[Method, ...]:
    """The methods that a knob counts for; () where it counts for every attack."""
    if knob in AttackKnobs.model_fields:
        return ()
    return tuple(method for method in METHODS.values() if knob in method.knobs.model_fields)


def foreign(method: str) -> frozenset[str]:
    """The knobs that do not count for a method; none for auto, which may take any."""
    if method == AUTO:
        return frozenset()
    own = named(method).knobs.model_fields
    return frozenset(knob for other in METHODS.values() for knob in other.knobs.model_fields if knob not in own)


def described(knob: str, help: str) -> str:
    """The help of a knob, with the methods that it counts for and what it stands for where it is left empty."""
    found = owners(knob)
    few = f"{', '.join(method.title for method in found)}: " if 0 < len(found) < len(METHODS) else ""
    stands_for = [f"{method.empty[knob]:,g} for {method.title}" for method in found if knob in method.empty]
    return f"{few}{help}" + (f" Empty: {', '.join(stands_for)}." if stands_for else "")
