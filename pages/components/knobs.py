"""From a config model to what a form needs to know of each field, and from typed text back to values."""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from core.io.errors import InputError
from core.reconstruction.registry import described
from core.runs.kinds import KINDS

# Names that read badly when only their underscores are replaced.
LABELS = {
    "lr_x": "Learning rate of images", "lr_coefficients": "Learning rate of λ", "tv_weight": "TV weight",
    "relu_alpha_start": "ReLU α, start", "relu_alpha_end": "ReLU α, end", "max_seconds": "Time limit",
    "target_log_loss": "Stop at ln(loss)", "init_scale": "Initial std", "samples": "Samples N",
    "rank": "Rank r", "alpha": "LoRA α", "steps": "Steps T", "restarts": "Restarts R", "optimizer": "Optimiser",
    "batch_size": "Batch size", "adapter_dtype": "Stored as", "layers": "Trained layers",
    "changes": "Changes on the way",
    "known_learning_rate": "Known learning rate", "known_steps": "Known steps T", "labels": "Known labels",
    "indices": "Exact indices", "base": "Base", "finetune": "Victim", "ranks": "Ranks r", "repeats": "Seeds",
    "full": "Full fine-tuning too", "knobs": "Searched knobs", "objective": "Judged by", "prune": "Prune bad trials",
    "min_lambda": "Least λ",
}
# What an empty field stands for; elsewhere the engine decides.
EMPTY = {"max_seconds": "no limit", "alpha": "the rank", "indices": "by selection", "samples": "not known",
         "changes": "none", "labels": "not known", "known_learning_rate": "not known", "known_steps": "not known"}
EMPTY_IN_GRID = "by the preset"  # of an experiment, every field
MOST_LINEAR = 600  # of a linear slider: one pixel is then about one unit
# What each choice means, where the bare word says too little.
CHOICES = {
    "network": {"mlp": "fully connected, for every attack", "conv": "a convolution first, for KKT on the base alone"},
    "adaptation": {"lora": "a peft adapter is trained and released",
                   "full": "the weights themselves, and the whole network is released"},
    "threat": {"released-only": "the published files, nothing else",
               "informed": "also labels, N, T and learning rate",
               "oracle": "also the coefficients: a ceiling, not an attack"},
    "objective": {"residual": "the attack's own: needs no truth",
                  "ssim": "an oracle, told the truth: a ceiling, not an attack"},
}


@dataclass(frozen=True)
class Knob:
    """One field of a config model."""

    name: str
    type: str                       # text, int, float, choice, choices, names, ints, changes, switch
    required: bool
    optional: bool                  # None is a value: "not known", "no limit"
    default: Any
    help: str
    unit: str = ""
    scale: str = "linear"
    expert: bool = False
    source: str = ""
    minimum: float | None = None
    maximum: float | None = None
    options: list[Any] = field(default_factory=list)
    search: tuple[float, float] | None = None  # the range that is worth trying, narrower than what is valid

    @property
    def reach(self) -> tuple[float, float] | None:
        """The ends of a slider; None where none could show the range."""
        if self.type not in ("int", "float"):
            return None
        low, high = self.search or (self.minimum, self.maximum)
        wide = self.scale == "linear" and None not in (low, high) and high - low > MOST_LINEAR
        return None if low is None or high is None or wide else (low, high)

    @property
    def label(self) -> str:
        text = LABELS.get(self.name, self.name.replace("_", " ").capitalize())
        return f"{text} ({self.unit})" if self.unit and self.unit not in text.lower() else text

    @property
    def hint(self) -> str:
        """The tooltip: what it does, its range, its source, its name on the command line."""
        limits = ""
        if self.type in ("int", "float"):
            low, high = (typed(bound) if bound is not None else None for bound in (self.minimum, self.maximum))
            if low or high:
                reach = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
                limits = f" Range: {reach}{', log scale' if self.scale == 'log' else ''}."
        source = f" Source: {self.source.rstrip('.')}." if self.source else ""
        return f"{self.help}{limits}{source} Command line: `{self.name}`."


@cache
def knobs(kind: str) -> tuple[Knob, ...]:
    """The knobs of a kind of run, basic ones first; a field with a single possible value is no knob."""
    schema = KINDS[kind].model_json_schema()
    found = [_knob(name, facts, name in schema.get("required", [])) for name, facts in schema["properties"].items()
             if "const" not in facts]
    return tuple(sorted(found, key=lambda knob: knob.expert))


def _knob(name: str, facts: dict[str, Any], required: bool) -> Knob:
    branches = [branch for branch in facts.get("anyOf", [facts]) if branch.get("type") != "null"]
    shape = branches[0]
    items = shape.get("items", {})
    if "enum" in shape:
        kind, options = "choice", shape["enum"]
    elif shape["type"] == "array":
        named = "choices" if "enum" in items else "names"
        kind = "changes" if "$ref" in items else "ints" if items["type"] == "integer" else named
        options = items.get("enum", facts.get("suggested", []))
    else:
        kind, options = {"integer": "int", "number": "float", "string": "text", "boolean": "switch"}[shape["type"]], []
    return Knob(
        name, kind, required, len(branches) < len(facts.get("anyOf", [facts])), facts.get("default"),
        described(name, facts.get("description", "")), facts.get("unit", ""), facts.get("scale", "linear"),
        facts.get("group") == "expert", facts.get("source", ""),
        shape.get("minimum", shape.get("exclusiveMinimum")), shape.get("maximum", shape.get("exclusiveMaximum")),
        options, facts.get("search") and tuple(facts["search"]))


def typed(value: Any) -> str:
    """A value as a person would type it: ``1e-4``, ``0.02``, ``1,000,000``; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    if isinstance(value, float) and (not value.is_integer() or abs(value) >= 1e6):
        return re.sub(r"e([+-])0*(\d)", lambda match: f"e{match[1].replace('+', '')}{match[2]}", repr(value))
    return f"{int(value):,}" if isinstance(value, (int, float)) else str(value)


def parse(knob: Knob, text: str) -> Any:
    """Typed text to a value; raises `InputError` that names the field and shows how to type it."""
    text = text.strip().replace("−", "-")
    if not text:
        if knob.optional:
            return None
        raise InputError(f"{knob.name}: a value is needed here; {_example(knob)}.")
    try:
        if knob.type == "ints":
            return [int(part) for part in text.replace(";", ",").replace(" ", ",").split(",") if part]
        if knob.type == "changes":
            return text.replace(",", " ").replace(";", " ").split()  # the config reads each
        value = float(text.replace(",", "").replace("_", ""))
        if knob.type == "float":
            return value
        if value.is_integer():
            return int(value)
    except (ValueError, OverflowError):
        pass
    wanted = {"int": "a whole number", "ints": "a list of whole numbers"}.get(knob.type, "a number")
    raise InputError(f"{knob.name}: {text!r} is not {wanted}; {_example(knob)}.")


def _example(knob: Knob) -> str:
    if knob.type == "ints":
        return "type for example 1, 0"
    return f"type for example {typed(knob.default if knob.default is not None else knob.minimum or 1)}"
