"""One HTML file that tells a run, or a comparison of several: pictures, scores, curves, reasons, configs, commands.

Everything comes from the run directories as they are; nothing is computed anew. The file needs no network and no
other file.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from core.assessment.failure_reasons import Reason, headline, reasons
from core.io.errors import InputError
from core.io.images import tiles
from core.io.wording import duration, fixed
from core.plots.compare import changed_knobs, config_difference, in_order_of_truth, result_row
from core.plots.figures import line_figure
from core.plots.panels import COMPARED, PANELS, compared_panels, marked
from core.plots.series import Panel
from core.plots.titles import title, unique_titles
from core.reconstruction.calibration import EVENT
from core.report.html import NOTHING, bullets, charts, code, document, folded, heading, paragraph, strip, table
from core.runs.directory import Run
from core.runs.kinds import AttackConfig
from core.runs.repeat import repeat_command
from core.runs.reports.attack import AttackReport
from core.runs.reports.stored import Report
from core.runs.reports.training import FinetuneReport, PretrainReport
from core.runs.store import origin, referred


def report(runs: Sequence[Run]) -> str:
    """HTML of one run, or of several of one kind side by side; raises `InputError` where that cannot be."""
    if not runs:
        raise InputError("runs: name at least one run.")
    kinds = {run.config().kind for run in runs}
    if len(kinds) > 1:
        raise InputError(f"runs: a report compares runs of one kind, not {' and '.join(sorted(kinds))}.")
    if len(runs) == 1:
        return _one(runs[0])
    return _several(list(runs), kinds.pop())


def _one(run: Run) -> str:
    name = title(run.config(), run.status())
    body = [heading(name, 1), paragraph(_stamp([run]), quiet=True), table([{"run": name, **result_row(run)}]),
            *_body(run)]
    panels = _panels(run)
    return document(name, [*body, _drawn(panels), *_repeat(run)], charts=bool(panels))


def _several(runs: list[Run], kind: str) -> str:
    names = unique_titles(runs)
    configs = [run.config() for run in runs]
    differing = [{"knob": field, **dict(zip(names.values(), map(_typed, values), strict=True))}
                 for field, values in config_difference(configs).items()]
    panels = compared_panels(kind, {name: run.metrics()[0] for run, name in names.items()}) if kind in COMPARED else []
    panels = [panel for panel in panels if not panel.empty]
    body = [heading(f"{len(runs)} runs side by side", 1), paragraph(_stamp(runs), quiet=True), heading("Numbers"),
            table([{"run": name, **result_row(run)} for run, name in names.items()]), heading("What differs"),
            table(differing) or paragraph("Nothing: the configs are the same."), _drawn(panels)]
    for run, name in names.items():
        body += [heading(name), *_body(run), *_repeat(run, level=3)]
    return document(", ".join(names.values()), body, charts=bool(panels))


def _stamp(runs: Sequence[Run]) -> str:
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    return f"Report of Afterimage, made {made} from {', '.join(run.id for run in runs)}."


def _body(run: Run) -> list[Markup]:
    """What came out: facts, pictures, reasons, limits."""
    status, outcome, attack = run.status(), run.outcome() or Report(), run.outcome(AttackReport)
    said = [attack.status_message, attack.samples_found_by] if attack else []
    body = [paragraph(f"{status.state}, {status.step:,} steps, {duration(status.seconds)}"),
            paragraph(" ".join(sentence for sentence in said if sentence))]
    if status.message:
        body.append(paragraph(status.message))
    body.append(_pictures(run, attack))
    if attack:
        body += [heading("Why it came out so", 3), paragraph(headline(attack)), table([
            {"reason": found.name, "verdict": found.verdict, "in this run": found.text, "evidence": found.evidence}
            for found in _reasons(run, attack)])]
    if outcome.limits:
        body += [heading("Limits", 3), bullets(outcome.limits)]
    return body


def _reasons(run: Run, attack: AttackReport) -> list[Reason]:
    victim, base = referred(run, "finetune"), origin(run)
    config = run.config()
    assert isinstance(config, AttackConfig)
    return reasons(config, attack, victim=victim.outcome(FinetuneReport) if victim else None,
                   base=base.outcome(PretrainReport) if base else None)


def _pictures(run: Run, attack: AttackReport | None) -> Markup:
    truth, found = _tiles(run, "truth.png"), _tiles(run, "reconstruction.png")
    if not truth and not found:
        return NOTHING
    words = attack.score.words() if attack and attack.score else []
    ordered = in_order_of_truth(found, attack)
    sure = in_order_of_truth(attack.confidence, attack) if attack else []
    columns = []
    for index in range(max(len(truth), len(ordered))):
        shown = [(truth[index], f"truth {index + 1}")] if index < len(truth) else []
        shown += [(ordered[index], f"reconstruction {index + 1}")] if index < len(ordered) else []
        said = words[index:index + 1]
        said += [f"confidence {fixed(sure[index])}"] if index < len(sure) and sure[index] is not None else []
        columns.append((shown, ", ".join(said)))
    legend = "Truth above reconstruction; the attack never saw the truth." if truth and found else ""
    legend += f" Confidence is the probability that {EVENT}." if sure else ""
    return paragraph(legend, quiet=True) + strip(columns)


def _tiles(run: Run, name: str) -> list[bytes]:
    path = run.file(name)
    return tiles(path.read_bytes()) if path.exists() else []


def _panels(run: Run) -> list[Panel]:
    kind = run.config().kind
    if kind not in PANELS:
        return []
    return [panel for panel in marked(PANELS[kind](run.metrics()[0]), run.changes()) if not panel.empty]


def _drawn(panels: Sequence[Panel]) -> Markup:
    if not panels:
        return NOTHING
    return heading("Curves") + charts([(panel.title, line_figure(panel, revision="report")) for panel in panels])


def _repeat(run: Run, *, level: int = 2) -> list[Markup]:
    config = run.config()
    changed = [{"knob": name, "value": _typed(value)} for name, value in changed_knobs(config).items()]
    environment = run.environment()
    return [heading("Repeat it", level), code(repeat_command(run)),
            paragraph(f"Seed {config.seed}. Knobs that differ from their defaults:", quiet=True), table(changed),
            folded("Environment", code(json.dumps(environment, indent=1))) if environment else NOTHING]


def _typed(value: Any) -> str:
    return "–" if value is None or value == "" else json.dumps(value) if isinstance(value, list | dict) else str(value)
