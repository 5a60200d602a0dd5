"""Files that another process replaces while they are read: read whole, and parsed once a version."""

import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

READ_TRIES = 5
Parsed = TypeVar("Parsed")
Stamp = tuple[int, int, int]


def read_text(path: Path) -> str:
    """The text; on NFS a file that is replaced while it is read gives ESTALE, and the next try the new one."""
    for _ in range(READ_TRIES - 1):
        try:
            return path.read_text()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            time.sleep(0.02)
    return path.read_text()


def stamp(stat: os.stat_result) -> Stamp:
    """What differs between two versions of a file."""
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


class Newest:
    """What files held when they were last parsed, one version of each: a run that goes on writes another status each
    second, and whoever watches it all day must not keep them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held: OrderedDict[Hashable, tuple[Stamp, Any]] = OrderedDict()
        self.mutex = threading.Lock()

    def get(self, key: Hashable, version: Stamp, parse: Callable[[], Parsed]) -> Parsed:
        """What was kept under `key` of that version, else what `parse` gives, kept from now on."""
        with self.mutex:
            known, value = self.held.get(key, (None, None))
            if known == version:
                self.held.move_to_end(key)
                return value
        parsed = parse()
        with self.mutex:
            self.held[key] = version, parsed
            self.held.move_to_end(key)
            while len(self.held) > self.most:
                self.held.popitem(last=False)
        return parsed
