"""``python -m core``: see `core.cli.main`."""

import os
import sys

# Before torch is loaded: its threads sleep while they wait for each other instead of spinning, which on busy
# cores (a browser, another run) costs several times the work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from core.cli.main import main

sys.exit(main())
