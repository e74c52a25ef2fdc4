"""A tar that can be written in one way only, in flat memory: plain files, one after another, the last two a manifest and its sha256.

Any program can unpack it. We read only what we would have written, header by header: a link, a device, a name that leads elsewhere, a
changed byte in header, content or padding is found before anything is put anywhere, and nothing can unpack to more than the file holds.
After POSIX.1-2001, ustar interchange format.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic import ValidationError

from agent.domain.errors import Refused
from agent.domain.values import Sha256, Value

FORMAT, VERSION = "intagly-agent backup", 1
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
_BLOCK = 512
_CHUNK = 1 << 20
_END = bytes(2 * _BLOCK)
_LARGEST_MANIFEST = 256 << 20
_LARGEST_FILE = 8 << 30
"""What the format can say."""


class Member(Value):
    name: str
    bytes: int
    sha256: Sha256


class LeftOut(Value):
    """A file that should have been in it, and why it is not."""

    name: str
    why: str


class LedgerFacts(Value):
    """Those of `agent.ledger.backup`."""

    schema_version: str
    orders: int
    events: int
    head: str
    broken: list[str] = []


class Manifest(Value):
    format: str
    version: int
    made_with: str
    made_at: str
    agent: str
    with_files: bool
    with_secrets: bool
    ledger: LedgerFacts
    members: list[Member]
    left_out: list[LeftOut] = []


class Writer:
    """Appends members to an open file. `members` and `left_out` grow as it does."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.members: list[Member] = []
        self.left_out: list[LeftOut] = []

    def add(self, name: str, path: Path, sha256: str = "") -> None:
        """A file as it is now. One that is gone, changes, cannot be read or is not what `sha256` says is left out, and listed as that."""
        start = self._out.tell()
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                self._out.write(_header(name, size))
                digest = _copied(file, self._out, size)
        except (_Changed, ValueError) as odd:
            self._leave_out(name, str(odd), start)
            return
        except OSError as error:
            if error.filename is None:
                raise  # it is the archive that cannot be written
            self._leave_out(name, str(error.strerror), start)
            return
        if sha256 and digest != sha256:
            self._leave_out(name, "it is not what its name says: it was damaged", start)
            return
        self.members.append(Member(name=name, bytes=size, sha256=digest))

    def end(self, manifest: Manifest) -> None:
        text = canonical(manifest)
        for name, content in ((MANIFEST, text), (SEAL, hashlib.sha256(text).hexdigest().encode())):
            self._out.write(_header(name, len(content)) + content + _padding(len(content)))
        self._out.write(_END)

    def _leave_out(self, name: str, why: str, start: int) -> None:
        self._out.seek(start)
        self._out.truncate()
        self.left_out.append(LeftOut(name=name, why=why))


class _Changed(Exception):
    """A file became shorter while it was read."""


def canonical(manifest: Manifest) -> bytes:
    """JSON in one way only."""
    return json.dumps(manifest.model_dump(mode="json"), sort_keys=True, indent=1).encode() + b"\n"


def _header(name: str, size: int) -> bytes:
    """ValueError where the format has no room for that name or size."""
    if size >= _LARGEST_FILE:
        raise ValueError("it is larger than 8 GB")
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime, info.type = size, 0o600, 0, tarfile.REGTYPE
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except UnicodeEncodeError as error:
        raise ValueError("its name is no UTF-8") from error


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _copied(source: IO[bytes], out: IO[bytes], size: int) -> str:
    digest, left = hashlib.sha256(), size
    while left:
        chunk = source.read(min(_CHUNK, left))
        if not chunk:
            raise _Changed("it changed while it was read")
        digest.update(chunk)
        out.write(chunk)
        left -= len(chunk)
    out.write(_padding(size))
    return digest.hexdigest()


# --- reading ----------------------------------------------------------------------------------------------------------
def damaged(why: str) -> Refused:
    hint = "Nothing was put anywhere. Take another backup, or copy this one again from where it was."
    return Refused(f"This is no backup as the agent made it: {why}.", hint=hint, code="backup_damaged")


def contents(archive: IO[bytes]) -> Iterator[tuple[str, int]]:
    """Each member's name and size, with `archive` standing at its content, which need not be read. Refused (backup_damaged) where a header
    is not one that we write."""
    offset, known = 0, set()
    while True:
        archive.seek(offset)
        block = archive.read(_BLOCK)
        if block == _END[:_BLOCK]:
            break
        name, size = _told_by(block, offset)
        if name in known:
            raise damaged(f"{name!r} is in it twice")
        known.add(name)
        yield name, size
        offset += _BLOCK + size
        archive.seek(offset)
        offset += len(_padding(size))
        if archive.read(offset - archive.tell()) != _padding(size):
            raise damaged(f"it ends in the middle of {name!r}, or something stands behind it")
    archive.seek(offset)
    if archive.read(len(_END) + 1) != _END:
        raise damaged("something stands behind its end")


def _told_by(block: bytes, offset: int) -> tuple[str, int]:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        as_written = _header(info.name, info.size) == block
    except (tarfile.HeaderError, ValueError) as error:
        raise damaged(f"what stands at byte {offset} is no member") from error
    if not as_written or not _is_plain(info.name):
        raise damaged(f"the member at byte {offset} ({info.name!r}) is no plain file with a plain name")
    return info.name, info.size


def _is_plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and name == "/".join(parts) and name.isprintable() and "\\" not in name and not {"/", "..", "."} & set(parts)


def read_manifest(archive: IO[bytes]) -> Manifest:
    """The manifest, with every member held against it: name, order, size and sha256. Reads the whole file; writes nothing. Refused
    (backup_damaged)."""
    found: list[Member] = []
    ends: dict[str, bytes] = {}
    for name, size in contents(archive):
        if name in (MANIFEST, SEAL):
            ends[name] = archive.read(min(size, _LARGEST_MANIFEST))
        elif ends:
            raise damaged(f"{name!r} stands behind the manifest")
        else:
            found.append(Member(name=name, bytes=size, sha256=digest_of(archive, size, name)))
    if list(ends) != [MANIFEST, SEAL]:
        raise damaged("its manifest is missing")
    if hashlib.sha256(ends[MANIFEST]).hexdigest().encode() != ends[SEAL]:
        raise damaged("the manifest was changed")
    manifest = _parsed(ends[MANIFEST])
    if manifest.members != found:
        differing = next((theirs.name for theirs, ours in zip(manifest.members, found, strict=False) if theirs != ours), "a member")
        raise damaged(f"{differing!r} is not what the manifest says")
    return manifest


def digest_of(archive: IO[bytes], size: int, name: str, out: IO[bytes] | None = None) -> str:
    """Reads `size` bytes from where it stands, and writes them to `out`; their sha256."""
    digest, left = hashlib.sha256(), size
    while left:
        chunk = archive.read(min(_CHUNK, left))
        if not chunk:
            raise damaged(f"it ends in the middle of {name!r}")
        digest.update(chunk)
        if out is not None:
            out.write(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def _parsed(text: bytes) -> Manifest:
    try:
        document: Any = json.loads(text)
        if isinstance(document, dict) and (document.get("format"), document.get("version")) != (FORMAT, VERSION):
            raise damaged(f"it is {str(document.get('format'))[:60]!r} version {str(document.get('version'))[:20]}")
        manifest = Manifest.model_validate(document)
    except (ValueError, RecursionError, ValidationError) as error:
        raise damaged("the manifest cannot be read") from error
    if canonical(manifest) != text:
        raise damaged("the manifest is not written as it must be")
    return manifest
