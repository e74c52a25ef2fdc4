"""Files that outlive a power cut, and that only the agent's user can read."""

import os
from io import BufferedRandom
from pathlib import Path


def private_file(path: Path) -> BufferedRandom:
    """A new file, mode 0600 from its first byte on. FileExistsError where there is one."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """A rename is only durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
