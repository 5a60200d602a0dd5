"""What all tests of a folder are; in other folders single tests carry their own mark."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
MARKED = {"browser": "browser", "execution": "cluster", "pages": "slow", "tasks": "slow", "training": "slow",
          "reconstruction/algebraic": "slow", "reconstruction/kkt": "slow"}
