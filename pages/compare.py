"""Compare: pictures, scores, curves and config difference of two or more runs of one kind."""


import streamlit as st

from core.assessment.finding import judged
from core.io.errors import InputError
from core.io.wording import counted, fixed, number
from core.plots.compare import in_order_of_truth, result_row, scored_images
from core.plots.panels import compared_panels
from core.plots.titles import unique_titles
from core.runs.directory import Run
from core.runs.reports.attack import AttackReport
from core.runs.reports.training import FinetuneReport
from core.runs.store import RunStore
from pages.components.charts import grid
from pages.components.differences import differences
from pages.components.export import report_button
from pages.components.landscape import landscape
from pages.components.layout import NAVIGATION, heading, inside_app, linked, open_run, present
from pages.components.pictures import DIFFERENCE, NEAREST, final_pairs, pairs, strip
from pages.components.reading import curves as curves_of
from pages.components.reading import pictures
from pages.components.runs import IMAGES_HIGH, IMAGES_WIDE, badge, caption, parent, plain, thumbnail_uri
from pages.components.wipe import wipe

KINDS = ("attack", "finetune", "pretrain")
VIEWS = {"runs": "Side by side", "all": "All attacks"}
ORDERS = {"": "as drawn", "ssim": "SSIM, best first", "psnr": "PSNR, best first", "ncc": "NCC, best first"}
ALONG = {"step": "Step", "seconds": "Time"}
SCALES = {"own": "Its own", "log": "Log", "linear": "Linear"}
FEW = 3  # targets, up to which two runs fit beside one another
IMAGES = {"images": st.column_config.ImageColumn("truth and found", width=IMAGES_WIDE)}
FOREWORD = {"attack": "The pictures of each run, matched one to one with the truth.",
            "finetune": "The private samples of each run.", "pretrain": ""}


def choose() -> tuple[str, list[Run]]:
    """Kind and runs, from the page or the link ``?runs=a,b``; a link to one run adds the newest other one."""
    store, link = RunStore(), st.query_params.get("runs", "")
    if link and link != st.session_state.get("compare-link"):  # a new address, not an echo of the widgets
        _follow(store, link)
    kind = st.segmented_control("Kind", KINDS, default=None if "compare-kind" in st.session_state else KINDS[0],
                                required=True, key="compare-kind", persist_state="session",
                                format_func=lambda kind: NAVIGATION[kind].title)
    asked = [*link.split(","), *st.session_state.get(f"compare-{kind}", [])]  # points of experiments, by their links
    runs = {run.id: run for run in store.list(kind=kind) if parent(run) is None or run.id in asked}
    key = f"compare-{kind}"
    if key not in st.session_state:
        done = [run_id for run_id, run in runs.items() if run.status().state == "done"]
        st.session_state[key] = done[:2] if len(done) > 1 else []
    chosen = st.multiselect("Runs", list(runs), key=key, format_func=lambda run_id: caption(runs[run_id]),
                            placeholder="Choose two or more runs", persist_state="session",
                            help="The address of this page keeps your choice: share it.")
    st.session_state["compare-link"] = ",".join(chosen)
    if chosen:
        st.query_params["runs"] = ",".join(chosen)
    else:
        st.query_params.pop("runs", None)
    return kind, [runs[run_id] for run_id in chosen]


def _follow(store: RunStore, link: str) -> None:
    """Set the widgets to the runs of a link."""
    linked = _readable(store, [name for name in link.split(",") if name])
    if not linked:
        return
    kind = linked[0].config().kind
    chosen = [run.id for run in linked if run.config().kind == kind]
    others = [run.id for run in store.list(kind=kind) if run.id not in chosen and run.status().state == "done"]
    st.session_state["compare-kind"] = kind
    st.session_state[f"compare-{kind}"] = chosen + (others[:1] if len(chosen) == 1 else [])


def _readable(store: RunStore, names: list[str]) -> list[Run]:
    found = []
    for name in names:
        try:
            run = store.get(name)
            if run.config() and run.status():  # both can be read
                found.append(run)
        except InputError as error:
            st.error(str(error), icon=":material/error:")
    return found


def show_pictures(kind: str, names: dict[Run, str]) -> None:
    sort, differences, neighbours = "", False, False
    if kind == "attack":
        with st.container(horizontal=True, vertical_alignment="bottom"):
            sort = st.selectbox("Order of the targets", list(ORDERS), key="compare-order", persist_state="session",
                                format_func=ORDERS.__getitem__, width=260)
            differences = st.toggle("Difference images", key="compare-differences", persist_state="session",
                                    help=DIFFERENCE)
            neighbours = st.toggle("Nearest training image", key="compare-neighbours", persist_state="session",
                                   help=NEAREST)
    few = all(_pictured_count(run) <= FEW for run in names)
    columns = 2 if few and len(names) > 1 else 1
    rows = list(names.items())
    for start in range(0, len(rows), columns):
        for place, (run, name) in zip(st.columns(columns), rows[start:start + columns], strict=False):
            with place, st.container(border=True, height="stretch"):
                _pictured(kind, run, name, sort=sort, differences=differences, neighbours=neighbours)


def _pictured_count(run: Run) -> int:
    report = run.outcome(AttackReport) or run.outcome(FinetuneReport)
    return (report.samples if report else None) or len(pictures(run.file("truth.png")))


def _pictured(kind: str, run: Run, name: str, *, sort: str, differences: bool, neighbours: bool) -> None:
    """One run's pictures under its name, with its two numbers."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.markdown(f"**{plain(name)}**", width="content")
            badge(run.status())
        open_run(kind, run.id)
    if kind == "finetune":
        strip(pictures(run.file("truth.png")), noun="private sample", size=84)
        return
    report = run.outcome(AttackReport)
    score = report.score if report else None
    if report:
        final_pairs(run, report, size=112 if report.samples <= 6 else None, sort=sort,
                    differences=differences, neighbours=neighbours)
    elif taken := run.snapshots():
        pairs([], pictures(taken[-1][1]), matched=False, found_name=f"step {taken[-1][0]:,}")
    else:
        st.caption("No images yet.")
    with st.container(horizontal=True):
        if score:
            name = "distance" if score.modality.planar else "SSIM"
            st.metric(f"Mean {name}, all {counted(score.targets, 'target')}", fixed(score.mean),
                      help=judged(score) or None)
            if score.finding is False:
                st.caption(judged(score))
        st.metric("Relative residual", number(run.status().summary.get("residual")),
                  help="What of the released update the reconstruction leaves unexplained.")


def curves(kind: str, names: dict[Run, str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = linked(st.segmented_control, "Horizontal axis", list(ALONG), key="by", required=True,
                    format_func=ALONG.__getitem__)
        scale = linked(st.segmented_control, "Vertical axis", list(SCALES), key="scale", required=True,
                       format_func=SCALES.__getitem__)
        smoothing = st.slider("Smoothing", 0.0, 0.99, 0.0, 0.01, key="compare-smoothing", persist_state="session",
                              width=280, help="Weight of what came before in a running mean; 0 shows the values as "
                              "they are.")
    panels = compared_panels(kind, {name: curves_of(run) for run, name in names.items()}, by=by, smoothing=smoothing,
                             log_y={"own": None, "log": True, "linear": False}[scale])
    grid(panels, "-".join(["compare", by, scale, *(run.id for run in names)]))


def slide(names: dict[Run, str]) -> None:
    """One target, large: the first run's reconstruction wiped over its truth or over another run's."""
    scored = {run: name for run, name in names.items() if scored_images(run.outcome(AttackReport))
              and pictures(run.file("truth.png")) and not run.file("plane.json").exists()}
    if not scored:
        return
    st.subheader("Before and after", anchor=False)
    left, right = st.columns([2, 3], vertical_alignment="center")
    with left:
        run = st.selectbox("Reconstruction of", list(scored), format_func=scored.__getitem__, key="wipe-run")
        truth = pictures(run.file("truth.png"))
        others = {None: "its truth", **{other: name for other, name in scored.items() if other != run}}
        under = st.selectbox("Laid over", list(others), format_func=others.__getitem__, key="wipe-under")
        target = st.selectbox("Target", range(len(truth)), format_func=lambda index: str(index + 1), key="wipe-target")
        st.caption("Drag the edge in the picture, or move it with the arrow keys.")
    over = _found(run)[target]
    below = truth[target] if under is None else (_found(under) + [None] * len(truth))[target]
    with right:
        if over is None or below is None:
            st.caption("Nothing was found for this target.")
        else:
            wipe(below, over, below_name=f"{others[under]}, target {target + 1}",
                 over_name=f"reconstruction of {scored[run]}, target {target + 1}", key="wipe")


def _found(run: Run) -> list[bytes | None]:
    return in_order_of_truth(pictures(run.file("reconstruction.png")), run.outcome(AttackReport))


def compare() -> None:
    inside_app("compare")
    heading("compare")
    with st.container(key="chrome-view"):
        view = linked(st.segmented_control, "View", list(VIEWS), key="view", required=True,
                      format_func=VIEWS.__getitem__, label_visibility="collapsed")
    if view == "all":
        landscape()
        return
    with st.container(key="chrome-choice"):
        kind, runs = choose()
    if len(runs) < 2:
        available = len(RunStore().list(kind=kind))
        entry = NAVIGATION[kind]
        st.info("Choose two or more runs above." if available > 1 else
                f"Comparing needs two runs of this kind; there {'is one' if available else 'are none'} yet.",
                icon=":material/lightbulb:")
        if available < 2:
            st.page_link(entry.script, label=f"Go to {entry.title}", icon=entry.icon)
        return
    names = unique_titles(runs)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="content", key="chrome-report"):
            report_button(runs, key="report-compare")
        present()
    if kind != "pretrain":
        st.subheader("Pictures", anchor=False)
        st.caption(FOREWORD[kind])
        show_pictures(kind, names)
    st.subheader("Numbers", anchor=False)
    st.dataframe([{"run": name, "images": thumbnail_uri(run), **result_row(run)} for run, name in names.items()],
                 hide_index=True, height="content", row_height=IMAGES_HIGH, alt="One row of results for each run",
                 column_config=IMAGES)
    st.subheader("What differs", anchor=False)
    if found := differences(runs):
        rows = [{"knob": label, **dict(zip(names.values(), shown, strict=True))} for label, shown in found]
        st.dataframe(rows, hide_index=True, height="content", alt="Knobs in which the runs differ")
    else:
        st.caption("Nothing: the configs are the same.")
    st.subheader("Curves", anchor=False)
    curves(kind, names)
    if kind == "attack":
        slide(names)


try:
    compare()
except InputError as error:
    st.error(str(error), icon=":material/error:")
