"""What the printer did, on disk: the truth a test counts, whatever the printer says over the network."""

import json
import os
import time
from pathlib import Path


class Journal:
    """One line of JSON for each event. It outlives restarts and resets."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, event: str, name: str, **more: object) -> None:
        """`event`: upload, start, pause, resume, cancel, finish, fail, refuse. `at`: seconds since the epoch."""
        line = json.dumps({"at": round(time.time(), 3), "event": event, "name": name, **more})
        with self._path.open("a") as journal:
            journal.write(line + "\n")
            journal.flush()
            os.fsync(journal.fileno())
