"""What the operating system says of this process, under the names Prometheus' own libraries use, and of the disk."""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from agent.operator.metrics.exposition import Family, one

_KEPT_S = 300.0
"""Files are added up anew so often at most: a walk over thousands of them."""


def process_families(version: str) -> Iterator[Family]:
    labels = {"version": version, "python": platform.python_version()}
    yield Family("intagly_build_info", "gauge", "Always 1; the version is in its labels.", one(1, **labels))
    cpu = os.times()
    yield Family(
        "process_cpu_seconds_total", "counter", "Processor time of the daemon, its children not counted.", one(cpu.user + cpu.system)
    )
    statm, stat = _proc("statm").split(), _proc("stat").rpartition(")")[2].split()
    if not statm or not stat:
        return  # not Linux
    pages, ticks = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    yield Family("process_resident_memory_bytes", "gauge", "Memory of the daemon, its children not counted.", one(int(statm[1]) * pages))
    yield Family("process_virtual_memory_bytes", "gauge", "Address space of the daemon.", one(int(statm[0]) * pages))
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(stat[19]) / ticks
    yield Family("process_start_time_seconds", "gauge", "When the daemon began, in seconds since 1970.", one(round(started, 2)))
    yield Family("process_threads", "gauge", "Threads of the daemon.", one(int(stat[17])))
    yield Family("process_open_fds", "gauge", "Open files and connections.", one(len(list(Path("/proc/self/fd").iterdir()))))


def _proc(name: str) -> str:
    try:
        return Path("/proc/self", name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class Disk:
    """Room, and what the agent takes of it. Slow on a disk that is: for a thread."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._known: tuple[float, int] | None = None

    def families(self) -> list[Family]:
        try:
            free: int | None = shutil.disk_usage(self._data_dir).free
        except OSError:
            free = None  # the disk is gone; whoever works on it tells
        return [
            Family("intagly_disk_free_bytes", "gauge", "Free on the disk of data_dir.", [] if free is None else one(free)),
            Family("intagly_data_bytes", "gauge", "All of data_dir: files, ledger, work; at most five minutes old.", one(self._taken())),
        ]

    def _taken(self) -> int:
        if self._known is None or time.monotonic() - self._known[0] > _KEPT_S:
            self._known = time.monotonic(), _bytes_in(self._data_dir)
        return self._known[1]


def _bytes_in(folder: Path) -> int:
    """What goes away while it is looked at is not counted."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += _size(entry)
        except OSError:
            continue
    return total


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
