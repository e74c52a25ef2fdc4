"""The content-addressed file store: written to a temporary name, synced, renamed."""

import errno
import hashlib
import os
import secrets
import shutil
from pathlib import Path

from agent.domain.errors import NeedsOperator, Refused

_CHUNK = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def _no_room(root: Path, error: OSError) -> NeedsOperator:
    return NeedsOperator(
        f"The disk with {root} is full ({error.strerror}).", hint="Free some space; the agent goes on by itself.", code="disk_full"
    )


class DiskStore:
    """Files under `root`/<two hex>/<sha256>. Two writers of the same content meet at the same name, and both are right."""

    def __init__(self, root: Path, keep_free_bytes: int = 0, *, synced: bool = True) -> None:
        """`synced` False: for a store that ends with its process, and need not outlive the machine's power."""
        self._root = root
        self._synced = synced
        self._keep_free_bytes = keep_free_bytes
        self._incoming = root / "incoming"

    def open(self) -> None:
        """Make the folders and drop what a dead process left half written."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        for left in self._incoming.iterdir():
            left.unlink()

    def path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def require_room(self) -> None:
        free = shutil.disk_usage(self._root if self._root.is_dir() else self._root.parent).free
        if free < self._keep_free_bytes:
            raise NeedsOperator(
                f"Only {free / 1e6:.0f} MB are free on the disk with {self._root}; {self._keep_free_bytes / 1e6:.0f} MB are to stay free.",
                hint="Free some space, or lower [files] keep_free_mb; the agent goes on by itself.",
                code="disk_full",
            )

    def new_temporary(self, suffix: str = "") -> Path:
        self._incoming.mkdir(parents=True, exist_ok=True)
        return self._incoming / (secrets.token_hex(12) + suffix)

    def adopt(self, temporary: Path, expected_sha256: str | None = None) -> str:
        try:
            sha256 = _hashed(temporary, synced=self._synced)
            if expected_sha256 is not None and sha256 != expected_sha256:
                temporary.unlink()
                raise Refused(
                    f"A file with sha256 {expected_sha256[:12]}… was announced, but {sha256[:12]}… came.",
                    hint="The marketplace sent other bytes than it announced. Ask its support if it stays so.",
                    code="sha256_mismatch",
                )
            return self._move_in(temporary, sha256)
        except OSError as error:
            if error.errno in _FULL:
                raise _no_room(self._root, error) from error
            raise

    def put(self, content: bytes) -> str:
        temporary = self.new_temporary()
        try:
            temporary.write_bytes(content)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise _no_room(self._root, error) from error
            raise
        return self.adopt(temporary)

    def _move_in(self, temporary: Path, sha256: str) -> str:
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True)
        temporary.rename(target)
        if self._synced:
            _sync_folder(target.parent)
        return sha256


def _hashed(path: Path, *, synced: bool) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        if synced:
            os.fsync(file.fileno())
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """A rename is only durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
