"""The dashboard as `make run` starts it, with one JSON line a script run in the file $AFTERIMAGE_SCRIPT_TIMES.

    {"fragment": true, "seconds": 0.021, "cpu_seconds": 0.019}

A line of "fragment" is a refresh tick, or a widget inside a fragment; any other is a whole page. "seconds" is the time
from the start of the script to its end, "cpu_seconds" what its thread computed.
"""

import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.web.cli import main

ROOT = Path(__file__).parents[1]


def measure() -> None:
    """Wrap the one method that runs a script; Streamlit has no hook for it."""
    plain = ScriptRunner._run_script

    @functools.wraps(plain)
    def timed(self: ScriptRunner, rerun_data: Any) -> None:
        began, computed = time.perf_counter(), time.thread_time()
        plain(self, rerun_data)
        line = {"fragment": bool(rerun_data.fragment_id_queue or rerun_data.fragment_id),
                "seconds": time.perf_counter() - began, "cpu_seconds": time.thread_time() - computed}
        with open(os.environ["AFTERIMAGE_SCRIPT_TIMES"], "a") as file:
            file.write(json.dumps(line) + "\n")

    ScriptRunner._run_script = timed


if __name__ == "__main__":
    measure()
    sys.argv = ["streamlit", "run", str(ROOT / "app.py"), *sys.argv[1:]]
    sys.exit(main())
