"""IPP messages as bytes, after RFC 8010 (encoding) and RFC 8011 (operations): what printing one document takes, and no more.

CUPS speaks it, and so does every network printer that is sold today: neither CUPS' programs nor its libraries are needed here.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple


class Operation(IntEnum):
    PRINT_JOB = 0x0002
    GET_JOB_ATTRIBUTES = 0x0009
    GET_JOBS = 0x000A
    GET_PRINTER_ATTRIBUTES = 0x000B
    CUPS_GET_PRINTERS = 0x4002


class Tag(IntEnum):
    """The groups and the kinds of values that we send."""

    OPERATION_GROUP = 0x01
    JOB_GROUP = 0x02
    END = 0x03
    PRINTER_GROUP = 0x04
    INTEGER = 0x21
    BOOLEAN = 0x22
    ENUM = 0x23
    NAME = 0x42
    KEYWORD = 0x44
    URI = 0x45
    CHARSET = 0x47
    LANGUAGE = 0x48
    MIME_TYPE = 0x49


Plain = str | int | bool
Attributes = Mapping[str, tuple[Tag, Plain | Sequence[str]]]
"""By name: the kind, and a value or several."""
_VERSION = (2, 0)
_FIRST_VALUE_TAG = 0x10


class Malformed(Exception):
    """The answer is no IPP."""


class Answer(NamedTuple):
    """`status`: below 0x0100 it was done. `groups`: of each job or printer what was told: by name its values."""

    status: int
    operation: Mapping[str, list[Plain]]
    groups: Sequence[Mapping[str, list[Plain]]]

    @property
    def done(self) -> bool:
        return self.status < 0x0100


def request(operation: Operation, about: Attributes, job: Attributes | None = None) -> bytes:
    """A request up to where the document begins. `about`: the operation's own attributes, after charset and language."""
    first: Attributes = {
        "attributes-charset": (Tag.CHARSET, "utf-8"),
        "attributes-natural-language": (Tag.LANGUAGE, "en"),
        **about,
    }
    head = struct.pack(">BBHI", *_VERSION, operation, 1)
    groups = _group(Tag.OPERATION_GROUP, first) + (_group(Tag.JOB_GROUP, job) if job else b"")
    return head + groups + bytes([Tag.END])


def _group(tag: Tag, attributes: Attributes) -> bytes:
    written = bytearray([tag])
    for name, (kind, given) in attributes.items():
        values = [given] if isinstance(given, str | int) else given
        for n, value in enumerate(values):
            key = b"" if n else name.encode()
            raw = _raw(kind, value)
            written += struct.pack(">BH", kind, len(key)) + key + struct.pack(">H", len(raw)) + raw
    return bytes(written)


def _raw(kind: Tag, value: Plain) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return struct.pack(">?" if kind is Tag.BOOLEAN else ">i", value)


def answer(message: bytes) -> Answer:
    """Malformed where it is none. Kinds of values that we never look at are left out."""
    if len(message) < 8:
        raise Malformed("it is too short")
    (status,) = struct.unpack_from(">H", message, 2)
    operation: dict[str, list[Plain]] = {}
    groups: list[dict[str, list[Plain]]] = []
    current, name = operation, ""
    for tag, key, raw in _items(message):
        if tag < _FIRST_VALUE_TAG:
            current, name = operation if tag == Tag.OPERATION_GROUP else {}, ""
            if tag != Tag.OPERATION_GROUP:
                groups.append(current)
            continue
        name = key or name
        value = _value(tag, raw)
        if value is not None:
            current.setdefault(name, []).append(value)
    return Answer(status, operation, groups)


def _items(message: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Group tags (with nothing) and values (with the name, empty for a further value of the same)."""
    at = 8
    try:
        while (tag := message[at]) != Tag.END:
            at += 1
            if tag < _FIRST_VALUE_TAG:
                yield tag, "", b""
                continue
            key, at = _counted(message, at)
            raw, at = _counted(message, at)
            yield tag, key.decode(errors="replace"), raw
    except (IndexError, struct.error) as error:
        raise Malformed("it ends too soon") from error


def _counted(message: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", message, at)
    end = at + 2 + length
    if end > len(message):
        raise IndexError
    return message[at + 2 : end], end


def _value(tag: int, raw: bytes) -> Plain | None:
    if tag in (Tag.INTEGER, Tag.ENUM):
        return int.from_bytes(raw, "big", signed=True)
    if tag == Tag.BOOLEAN:
        return raw == b"\x01"
    if tag in (0x35, 0x36) and len(raw) >= 4:  # text and name with their language, each counted
        language = int.from_bytes(raw[:2], "big")
        return raw[4 + language :].decode(errors="replace")
    return raw.decode(errors="replace") if 0x41 <= tag <= 0x49 else None
