"""What a slicing program said of itself, remembered from one command to the next.

To ask PrusaSlicer takes a tenth of a second, as long as to slice a small part. What was remembered counts only for the very file that
was asked: another one, or one that was written anew, is asked. Scripts are asked every time, for what they run may change behind them.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

_SCRIPT = b"#!"


def cache_dir() -> Path | None:
    """The user's, by the rules of freedesktop.org: nothing that is in it is missed. None where the user has no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "intagly-agent"
    except RuntimeError:
        return None


class Remembered:
    """One program's words in one file. `folder` None: nothing is remembered. What cannot be read or written is as if it were not there."""

    def __init__(self, name: str, folder: Path | None) -> None:
        self._file = folder and folder / f"{name}.json"

    def of(self, program: Path) -> dict[str, Any] | None:
        """What that very file said."""
        if self._file is None:
            return None
        try:
            kept = json.loads(self._file.read_bytes())
            return dict(kept["said"]) if kept["file"] == _identity(program) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, program: Path, said: dict[str, Any]) -> None:
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            if _is_script(program):
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(handle, "w") as file:
                json.dump({"file": _identity(program), "said": said}, file)
            Path(temporary).replace(self._file)


def _identity(program: Path) -> list[str | int]:
    """The time of its last change is in it twice: a package manager sets one back, and cannot set the other."""
    stat = program.stat()
    return [str(program.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _is_script(program: Path) -> bool:
    with program.open("rb") as file:
        return file.read(len(_SCRIPT)) == _SCRIPT
