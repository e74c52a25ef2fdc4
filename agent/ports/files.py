"""Where models, G-code, photos and labels lie."""

from pathlib import Path
from typing import Protocol


class FileStore(Protocol):
    """Files addressed by sha256. Written to a temporary name, synced, renamed: a path that exists is whole."""

    def path(self, sha256: str) -> Path:
        """Where that content lies; it exists only when `has`."""
        ...

    def has(self, sha256: str) -> bool: ...

    def require_room(self) -> None:
        """NeedsOperator (code disk_full) where less is free than was to be kept free: before anything large is begun."""
        ...

    def new_temporary(self, suffix: str = "") -> Path:
        """A fresh path on the same file system for somebody to write to; give it to `adopt` or delete it."""
        ...

    def adopt(self, temporary: Path, expected_sha256: str | None = None) -> str:
        """Hash, sync and move a temporary file in; returns its sha256. Refused (code sha256_mismatch) where it is not the one expected."""
        ...

    def put(self, content: bytes) -> str:
        """Store these bytes; returns their sha256."""
        ...
