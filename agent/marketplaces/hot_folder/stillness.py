"""What lies in a hot folder, and since when it has not changed."""

import os
import stat
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

MODELS = {".stl": "model/stl", ".3mf": "model/3mf", ".obj": "model/obj"}
"""The endings of models, in any case, and their media types."""

_HINTS = {
    **dict.fromkeys((".zip", ".rar", ".7z", ".gz", ".tar"), "it is packed, and nothing is unpacked here: drop the files themselves"),
    **dict.fromkeys((".step", ".stp", ".iges", ".igs", ".f3d", ".scad", ".blend", ".sldprt"), "it is no STL, 3MF or OBJ: export it as one"),
    **dict.fromkeys((".gcode", ".bgcode"), "it is sliced already, and only models are taken: drop the model"),
}
"""What people drop by mistake, by its ending, and what they should do."""
_FOLDER = "it is a folder with models or orders in it, and folders are not looked into: move its files out of it"
_LOOKED_INTO = 200
"""So many entries of a folder are looked at."""

Mark = tuple[int, int]
"""Size and time of change (ns): a file whose mark stays is not being written."""


@dataclass(frozen=True)
class Listing:
    """The files of interest by name, why others that look like it are not taken, and what is to be done with what is something else."""

    files: dict[str, Mark]
    odd: dict[str, str]
    foreign: dict[str, str]


def listing(folder: Path, but: Container[str] = ()) -> Listing:
    """Models and order files in a folder. Hidden files are nobody's concern, nor are the names in `but`."""
    found = Listing({}, {}, {})
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in but:
                continue
            if entry.is_dir(follow_symlinks=False) or not (is_model(entry.name) or is_order(entry.name)):
                if why := _hint(entry):
                    found.foreign[entry.name] = why
            elif why := _odd(entry):
                found.odd[entry.name] = why
            elif (mark := mark_of(Path(entry.path))) is not None:
                found.files[entry.name] = mark
    return found


def _hint(entry: os.DirEntry[str]) -> str:
    if not entry.is_dir(follow_symlinks=False):
        return _HINTS.get(Path(entry.name).suffix.lower(), "")
    try:
        with os.scandir(entry.path) as inside:
            return _FOLDER if any(is_model(one.name) or is_order(one.name) for one in islice(inside, _LOOKED_INTO)) else ""
    except OSError:
        return ""  # removed meanwhile, or somebody's own


def _odd(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "it is a link, and links are not followed: copy the file itself"
    if not entry.is_file(follow_symlinks=False):
        return "it is no file"
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    return ""


def is_model(name: str) -> bool:
    return name.lower().endswith(tuple(MODELS))


def is_order(name: str) -> bool:
    return name.lower().endswith(".toml")


def mark_of(path: Path) -> Mark | None:
    """None where there is no such file."""
    try:
        seen = path.lstat()
    except FileNotFoundError:
        return None
    return (seen.st_size, seen.st_mtime_ns) if stat.S_ISREG(seen.st_mode) else None


class Stillness:
    """Since when each file has had its mark. The clock is the monotonic one: nobody sets it."""

    def __init__(self, still_s: float) -> None:
        self._still_s = still_s
        self._seen: dict[Path, tuple[Mark, float]] = {}
        self._now = 0.0

    def look(self, files: Mapping[Path, Mark]) -> None:
        """These are the files now; all others are forgotten."""
        self._now = time.monotonic()
        self._seen = {path: (mark, self._since(path, mark)) for path, mark in files.items()}

    def _since(self, path: Path, mark: Mark) -> float:
        known, since = self._seen.get(path, (None, 0.0))
        return since if known == mark else self._now

    def is_still(self, path: Path) -> bool:
        """True where it has been unchanged for long enough, until this instant. A change that is seen here begins its time anew."""
        known, since = self._seen.get(path, (None, self._now))
        mark = mark_of(path)
        if mark is not None and mark != known:
            self._seen[path] = mark, self._now
        return mark is not None and mark == known and self._now - since >= self._still_s

    def moved(self, old: Path, new: Path) -> None:
        """It is the same file."""
        if old in self._seen:
            self._seen[new] = self._seen.pop(old)

    def next_s(self) -> float | None:
        """In how many seconds a file may become still; None where none is being waited for."""
        waiting = [since for _, since in self._seen.values() if self._now - since < self._still_s]
        return max(0.0, min(waiting) + self._still_s - time.monotonic()) if waiting else None
