"""The guided demo: five steps of ordinary, small runs, made before the eyes of whoever watches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EARLIER = "@"  # a value that begins with it is the id of the run that an earlier step made


@dataclass(frozen=True)
class Step:
    """`makes` maps a role to the config of its run, in order; `before` is said until it is made, then `after`."""

    title: str
    before: str
    after: str
    makes: Mapping[str, Mapping[str, Any]]


STEPS = (
    Step("A public base", "A small network learns odd against even from 100 real digits.",
         "This network is published. Nothing of it is secret.",
         {"base": {"kind": "pretrain", "name": "Guided demo: base", "hidden": 500, "samples_per_class": 50,
                   "epochs": 200}}),
    Step("A private fine-tuning", "Somebody teaches it two private digits through a LoRA adapter of rank 200.",
         "Only the adapter leaves the house. These two digits do not.",
         {"victim": {"kind": "finetune", "name": "Guided demo: adapter of rank 200", "base": "@base", "rank": 200,
                     "seed": 1}}),
    Step("Exact recovery", "An attacker has the base and the adapter, and nothing else. It reads the number of "
         "samples, their activation patterns and their pixels off the adapter.",
         "Pixel for pixel: at this rank the adapter holds the private digits.",
         {"exact": {"kind": "attack", "name": "Guided demo: exact recovery", "finetune": "@victim",
                    "method": "algebraic", "threat": "released-only", "seed": 1}}),
    Step("A search to watch", "The same adapter, attacked by gradient descent on the pixels instead: noise turns into "
         "digits.", "Slower and less sharp than the algebra, but it asks less of the rank.",
         {"search": {"kind": "attack", "name": "Guided demo: gradient matching", "finetune": "@victim",
                     "method": "ntk", "restarts": 4, "iterations": 600, "seed": 1}}),
    Step("Does a small rank protect?", "The same two digits once more, through an adapter of rank 4, and the same "
         "attacker.", "Fewer equations than pixels: blurred, but who would call that private?",
         {"small": {"kind": "finetune", "name": "Guided demo: adapter of rank 4", "base": "@base", "rank": 4,
                    "seed": 1},
          "small attack": {"kind": "attack", "name": "Guided demo: rank 4", "finetune": "@small",
                           "method": "algebraic", "threat": "released-only", "seed": 1}}),
)
ROLES = tuple(role for step in STEPS for role in step.makes)


def config_values(role: str, made: Mapping[str, str]) -> dict[str, Any]:
    """The config of a role's run; `made` maps earlier roles to the ids of their runs."""
    values = next(step.makes[role] for step in STEPS if role in step.makes)
    return {name: made[value.removeprefix(EARLIER)] if isinstance(value, str) and value.startswith(EARLIER) else value
            for name, value in values.items()}
