"""``python -m core COMMAND``: parses, dispatches, and turns bad input into one line and exit code 2."""

import argparse
import os
import sys
from typing import Any, NoReturn

from core.cli import launch, manage, score
from core.io.errors import InputError


class Parser(argparse.ArgumentParser):
    """One line instead of a usage text for a wrong option, and no guessing of shortened ones."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        print(f"afterimage: {message} (see `{self.prog} --help`)", file=sys.stderr)
        sys.exit(2)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done or stopped, 1 failure, 2 bad input, 130 aborted."""
    args = build_parser().parse_args(arguments)
    try:
        return args.command(args)
    except InputError as error:
        print(f"afterimage: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `… list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = Parser(prog="python -m core", description="Afterimage on the command line: the same "
                    "engines as the dashboard. Exit code 0: done or stopped; 1: failed; 2: bad input.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    launch.add_commands(commands)
    manage.add_commands(commands)
    score.add_commands(commands)
    return parser
