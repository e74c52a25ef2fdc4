"""A ZIP that can be written in one way only: its members stored as they are, in their order, with fixed dates and no extras.

So the same members give the same bytes on every machine, any program can unpack it, and a reader can hold every byte of it against
what it must be: a changed date, flag or comment is found like a changed photo. After PKWARE's APPNOTE.TXT 6.3, sections 4.3 and 4.4.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

LARGEST_BYTES = 2**32 - 1
"""Beyond, the format would need ZIP64."""
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION, _UTF8, _STORED = 20, 0x0800, 0
_TIME, _DATE = 0, 0x21  # midnight on the first day the format knows, 1 January 1980
_READABLE = (0o100644) << 16
_MADE_ON_UNIX = 3 << 8 | _VERSION


class Damaged(Exception):
    """These bytes are no such archive. The text says where."""


class _Entry(NamedTuple):
    name: bytes
    crc: int
    size: int
    offset: int

    def local(self) -> bytes:
        return _LOCAL.pack(
            b"PK\x03\x04", _VERSION, _UTF8, _STORED, _TIME, _DATE, self.crc, self.size, self.size, len(self.name), 0
        ) + self.name  # fmt: skip

    def central(self) -> bytes:
        return _CENTRAL.pack(
            b"PK\x01\x02", _MADE_ON_UNIX, _VERSION, _UTF8, _STORED, _TIME, _DATE, self.crc, self.size, self.size,
            len(self.name), 0, 0, 0, 0, _READABLE, self.offset,
        ) + self.name  # fmt: skip


def written(members: Mapping[str, bytes]) -> Iterator[bytes]:
    """The archive in pieces, members in their order. ValueError where it would be too large."""
    entries: list[_Entry] = []
    offset = 0
    for name, content in members.items():
        entry = _Entry(name.encode(), zlib.crc32(content), len(content), offset)
        entries.append(entry)
        offset += len(entry.local()) + len(content)
        if offset > LARGEST_BYTES:
            raise ValueError(f"more than {LARGEST_BYTES} bytes")
        yield entry.local()
        yield content
    yield _directory(entries, offset)


def _directory(entries: list[_Entry], offset: int) -> bytes:
    central = b"".join(entry.central() for entry in entries)
    return central + _END.pack(b"PK\x05\x06", 0, 0, len(entries), len(entries), len(central), offset, 0)


def read(archive: bytes) -> dict[str, bytes]:
    """The members, in their order. Damaged where a single byte of the archive is not what these members demand."""
    members: dict[str, bytes] = {}
    entries: list[_Entry] = []
    offset = 0
    while archive[offset : offset + 4] == b"PK\x03\x04":
        entry, content = _member(archive, offset)
        name = _name(entry.name, members)
        entries.append(entry)
        members[name] = content
        offset += len(entry.local()) + entry.size
    if not entries:
        raise Damaged("It does not begin as a dossier does.")
    if archive[offset:] != _directory(entries, offset):
        raise Damaged(f"Its directory, from byte {offset} on, is not that of its members.")
    return members


def _member(archive: bytes, offset: int) -> tuple[_Entry, bytes]:
    if len(archive) - offset < _LOCAL.size:
        raise Damaged(f"It ends at byte {len(archive)}, in the middle of a member.")
    *_, crc, size, _, name_length, _ = _LOCAL.unpack_from(archive, offset)
    start = offset + _LOCAL.size
    entry = _Entry(archive[start : start + name_length], crc, size, offset)
    content = archive[start + name_length : start + name_length + size]
    shown = entry.name.decode(errors="replace")
    if archive[offset : start + name_length] != entry.local() or len(content) != size:
        raise Damaged(f"The member at byte {offset} ({shown}) does not begin as it must, or the file ends before it does.")
    if zlib.crc32(content) != crc:
        raise Damaged(f"{shown} was changed: its checksum is another.")
    return entry, content


def _name(raw: bytes, known: Mapping[str, bytes]) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise Damaged("A member's name is no UTF-8.") from error
    if not name or name in known or not name.isprintable() or name.startswith("/") or ".." in name.split("/"):
        raise Damaged(f"{name!r} is no name of a member.")
    return name
