"""Options made from the config models, and configs made from what was typed."""

import argparse
import json
import types
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from core.config.knob import RunConfig, facts
from core.io.errors import InputError
from core.reconstruction.registry import described
from core.runs.kinds import parse_config

PREFIX = "knob:"  # keeps the options of knobs apart from --config, --set and --out
# Documented names that are shorter than the knob's own.
ALIASES = {"known_learning_rate": "--learning-rate", "known_steps": "--steps"}
PLANNED_METHODS = ("inversion",)


def add_knobs(parser: argparse.ArgumentParser, model: type[RunConfig]) -> None:
    """One option for each knob of `model`, and ``--config`` and ``--set`` for all of them."""
    parser.add_argument("--config", metavar="FILE", help="JSON file with knobs, for example a run's config.json; "
                        "options and --set win over it")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="set a knob; VALUE is JSON, or else text (repeat for more)")
    group = parser.add_argument_group("knobs")
    for name, field in model.model_fields.items():
        if name != "kind":
            flag = ALIASES.get(name) if name in ALIASES else "--" + name.replace("_", "-")
            group.add_argument(flag, dest=PREFIX + name, metavar=_metavar(field), default=argparse.SUPPRESS,
                               help=_help(name, field).replace("%", "%%"))


def build_config(model: type[RunConfig], args: argparse.Namespace) -> RunConfig:
    """The config of a command: file, then options, then ``--set``; raises `InputError`."""
    kind = model.model_fields["kind"].default
    values = {**read_config(args.config, kind), "kind": kind}
    for name, text in vars(args).items():
        if name.startswith(PREFIX):
            values[name.removeprefix(PREFIX)] = parse_value(model, name.removeprefix(PREFIX), text)
    for name, text in map(split_assignment, args.assignments):
        values[name] = parse_value(model, name, text)
    if values.get("method") in PLANNED_METHODS:
        methods = ", ".join(get_args(model.model_fields["method"].annotation))
        raise InputError(f"method: {values['method']} is not built yet; the methods that exist are {methods}.")
    return parse_config(values)


def read_config(path: str | None, kind: str) -> dict[str, Any]:
    """The knobs in a JSON file; {} without one."""
    if path is None:
        return {}
    try:
        values = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"config: there is no file {path}.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"config: {path} cannot be read as JSON ({error}).") from error
    if not isinstance(values, dict):
        raise InputError(f"config: {path} must hold one JSON object with knobs.")
    if values.get("kind", kind) != kind:
        raise InputError(f"config: {path} is for {values['kind']}, not for {kind}; use that command.")
    return values


def split_assignment(text: str) -> tuple[str, str]:
    """``key=value`` to its parts."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"set: {text!r} is not KEY=VALUE, for example seed=1.")
    return name.strip().replace("-", "_"), value


def parse_value(model: type[RunConfig], name: str, text: str) -> Any:
    """What was typed for a knob: JSON, else text; a list also as ``1,0``. Pydantic judges it later."""
    if name not in model.model_fields or name == "kind":
        near = get_close_matches(name, model.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else "--help lists the knobs."
        raise InputError(f"{name}: there is no such knob; {hint}")
    kinds = _alternatives(model.model_fields[name].annotation)
    if str in kinds or any(get_origin(kind) is Literal for kind in kinds):
        return text
    if any(get_origin(kind) is list for kind in kinds) and not text.startswith("[") and text != "null":
        return [_json_or_text(part.strip()) for part in text.split(",")]
    return _json_or_text(text)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """``int | None`` to (int, NoneType); a plain type to itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _metavar(field: FieldInfo) -> str:
    for kind in _alternatives(field.annotation):
        if get_origin(kind) is Literal:
            return "{" + ",".join(get_args(kind)) + "}"
        if get_origin(kind) is list:
            return "A,B,…"
        if kind in (int, float, str):
            return {int: "N", float: "X", str: "TEXT"}[kind]
    return "VALUE"


def _help(name: str, field: FieldInfo) -> str:
    said = []
    if not field.is_required() and field.default not in (None, ""):
        said.append(f"default {json.dumps(field.default, ensure_ascii=False)}")
    unit = facts(field).get("unit")
    if unit:
        said.append(str(unit))
    return described(name, field.description or "") + (f" [{', '.join(said)}]" if said else "")
