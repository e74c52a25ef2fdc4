"""The content-addressed file store: written to a temporary name, synced, renamed."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.domain.errors import NeedsOperator, Refused
from agent.wire.durable import sync_folder

_CHUNK = 1 << 20
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SHA256 = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_TOUCHED_ANEW_S = 600.0


class Stored(NamedTuple):
    """A file of the store. `wanted_at`: when it was written, or somebody last asked for it; seconds since the epoch."""

    sha256: str
    bytes: int
    wanted_at: float


def sha256_in(text: str) -> list[str]:
    """Every sha256 that stands in it."""
    return _SHA256.findall(text)


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
        """Whoever asks is about to use it, and may not have said so in the ledger yet: it is marked as wanted now."""
        path = self.path(sha256)
        try:
            wanted_at = path.stat().st_mtime
        except FileNotFoundError:
            return False
        if time.time() - wanted_at > _TOUCHED_ANEW_S:
            # Whoever only reads here, as another user does, is no one that a file is kept for.
            with contextlib.suppress(PermissionError, FileNotFoundError), self._alone():
                os.utime(path)
        return path.is_file()

    def stored(self) -> Iterator[Stored]:
        """All there is, in no order."""
        for folder in self._root.glob("[0-9a-f][0-9a-f]"):
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    found = path.stat(follow_symlinks=False)
                    if _SHA256.fullmatch(path.name) and stat.S_ISREG(found.st_mode):
                        yield Stored(path.name, found.st_size, found.st_mtime)

    def remove(self, sha256: str, not_wanted_since: float) -> bool:
        """False where it is gone already, or was wanted after that time."""
        path = self.path(sha256)
        with self._alone():
            try:
                if path.stat().st_mtime > not_wanted_since:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Between looking at a file's age and removing it nobody else marks it, or puts the same content there, in whichever process."""
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

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
            if error.errno in FULL:
                raise _no_room(self._root, error) from error
            raise

    def put(self, content: bytes) -> str:
        temporary = self.new_temporary()
        try:
            temporary.write_bytes(content)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno in FULL:
                raise _no_room(self._root, error) from error
            raise
        return self.adopt(temporary)

    def _move_in(self, temporary: Path, sha256: str) -> str:
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True)
        with self._alone():
            temporary.rename(target)
        if self._synced:
            sync_folder(target.parent)
        return sha256


def _hashed(path: Path, *, synced: bool) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        if synced:
            os.fsync(file.fileno())
    return digest.hexdigest()
