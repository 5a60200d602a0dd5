"""The forecast before an attack, where it helps to decide: beside the knobs that matter, and after a fine-tuning."""

from collections.abc import Iterable
from typing import Any

import streamlit as st

from core.config.finetune import FinetuneConfig
from core.io.errors import InputError
from core.io.wording import fixed
from core.reconstruction.registry import METHODS, foreign
from core.reconstruction.registry import title as method_title
from core.runs.directory import Run
from core.runs.kinds import parse_config
from core.runs.reports.training import FinetuneReport
from core.runs.store import RunStore
from core.studies.forecast.expected import Expected
from core.studies.forecast.forecast import CLAIMS, NO_RESULT, Forecast, forecast
from core.studies.forecast.records import from_runs, shipped
from core.studies.forecast.setting import Setting, base_widths, finished, made_elsewhere, planned
from pages.components.form import live_knobs
from pages.components.layout import bullets
from pages.components.references import Choice, choose_base, choose_victim

FINETUNING = ("adaptation", "samples", "selection", "rank", "steps", "learning_rate", "optimizer", "adapter_dtype",
              "layers")
LESSER = {"released-only": ("released-only",), "informed": ("informed", "released-only"),
          "oracle": ("oracle", "informed", "released-only")}
HELP = ("Made before any attack: from counting what the update holds, and from stored results of attacks near this "
        "setting (the benchmark table that is shipped, and finished attacks of this laboratory). The range is the "
        "smallest to the largest mean of a seed.")


def choose_finetuning(defaults: dict[str, Any], stamp: str) -> Choice:
    """The base and the knobs that decide what leaks, with the forecast that follows from them at once."""
    base = choose_base(defaults, stamp)
    values = live_knobs("finetune", FINETUNING, defaults, stamp)
    try:
        config = parse_config({"kind": "finetune", **values, "base": base.fixed["base"] or "any",
                               "precision": defaults.get("precision", "float32")})
        _box(planned(config, base_widths(RunStore().root, config.base)), "Forecast of an attack on it")
    except InputError:
        pass  # said at the field, or when the form is sent
    return Choice({**base.fixed, **values}, base.hidden, base.promoted)


def choose_attack(defaults: dict[str, Any], stamp: str) -> Choice:
    """The victim, method and knowledge of an attack, with the forecast that follows."""
    victim = choose_victim(defaults, stamp)
    given = [name for name in ("threat", "method") if name not in victim.fixed]
    values = live_knobs("attack", given, defaults, stamp)
    method, threat = values["method"], values.get("threat", victim.fixed.get("threat"))
    setting = _victim_setting(victim)
    if setting is not None:
        _box(setting, "Forecast", methods=METHODS if method == "auto" else (method,), threat=threat)
    return Choice({**victim.fixed, **values}, victim.hidden | foreign(method), victim.promoted)


def finished_forecast(run: Run, config: FinetuneConfig, report: FinetuneReport | None) -> None:
    """After a fine-tuning: who can be seen is known now."""
    if report:
        _box(finished(config, report, base_widths(run.path.parent, config.base)), "Forecast of an attack",
             root=run.path.parent)


def _victim_setting(victim: Choice) -> Setting | None:
    if not victim.fixed["finetune"]:
        return made_elsewhere(*(victim.fixed[name] for name in ("checkpoint", "adapter", "tuned")))
    try:
        run = RunStore().get(victim.fixed["finetune"])
        config, report = run.config(), run.outcome(FinetuneReport)
        return finished(config, report, base_widths(RunStore().root, config.base)) if report else None
    except InputError:
        return None


def _box(setting: Setting, title: str, *, methods: Iterable[str] = METHODS, threat: str | None = None,
         root: Any = None) -> None:
    """For the knowledge of `threat`; without stored results there, for the next lesser one. None: whoever may come."""
    try:
        records = [*shipped(), *from_runs(root or RunStore().root)]
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return
    levels = [(level,) for level in LESSER[threat]] if threat else [CLAIMS]
    tried = [forecast(setting, records, methods=methods, threats=level) for level in levels]
    found = next((item for item in tried if item.expected or item.by_samples), tried[0])
    with st.container(border=True, gap="small"):
        st.markdown(f"**{title}**", help=HELP)
        _numbers(found, setting)
        lines = _sentences(found, setting)
        if found is not tried[0]:
            lines.append("These attacks knew less than yours will, so expect no less.")
        bullets(lines)
        changes = [f"{lever.text}: {fixed(lever.mean)} ({'+' if lever.change > 0 else ''}{fixed(lever.change)})"
                   for lever in found.levers]
        if changes or found.advice:
            with st.expander("What would change it", icon=":material/tune:"):
                if changes:
                    st.caption(f"Expected mean SSIM of {_who(found.headline)}, from stored results")
                bullets([*changes, *found.advice])


def _numbers(found: Forecast, setting: Setting) -> None:
    counts, best = found.counts, found.headline
    with st.container(horizontal=True):
        total = found.samples if found.samples is not None else "?"
        known = found.visible if found.visible is not None else total if setting.selection == "visible" else "?"
        st.metric("Visible samples", f"{known} of {total}", help="Above the rounding floor of what is released.")
        st.metric("Equations a sample", f"{counts.equations:,} of {counts.unknowns:,}",
                  help="Linear measurements against unknown pixels.")
        st.metric("Signs a sample", f"{counts.signs:,}", help="Inequalities: which neurons are on.")
        st.metric("Expected mean SSIM", fixed(best.mean) if best else "–", help="Over all targets; 1 is identical.")
        st.metric("Range", f"{fixed(best.low)} to {fixed(best.high)}" if best else "–",
                  help="The smallest and the largest mean among the stored seeds.")


def _sentences(found: Forecast, setting: Setting) -> list[str]:
    lines = [found.visibility, found.counting]
    if found.by_samples:
        lines += [f"If N = {N}{'' if setting.steps else ' after one step'}: {_score(item)}, {item.source}."
                  for N, item in found.by_samples.items()]
    elif not found.expected:
        lines.append(NO_RESULT)
    lines += [f"{_who(item)}: {_score(item)}, {item.source}." for item in found.expected]
    return lines


def _score(item: Expected) -> str:
    return f"mean SSIM {fixed(item.mean)} ({fixed(item.low)} to {fixed(item.high)})"


def _who(item: Expected | None) -> str:
    return f"{method_title(item.method)}, {item.threat}" if item else ""
