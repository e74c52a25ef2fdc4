"""What an IMAP server's replies say."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Summary:
    """A mail without its content. `received_at`: when our own server got it (INTERNALDATE)."""

    uid: int
    received_at: datetime
    bytes: int


@dataclass(frozen=True)
class Reply:
    """A server's line with the strings (literals) that stood in it. `line` holds them no more."""

    line: bytes
    literals: Sequence[bytes]

    def word(self, n: int) -> bytes:
        words = self.line.split(None, n + 1)
        return words[n].upper() if n < len(words) else b""


def uids_in(line: bytes) -> Iterator[int]:
    for word in line.split()[2:]:
        if re.fullmatch(rb"[0-9]{1,10}", word):
            yield int(word)


def summary_in(reply: Reply) -> Summary | None:
    uid = re.search(rb"\bUID ([0-9]{1,10})\b", reply.line)
    size = re.search(rb"\bRFC822\.SIZE ([0-9]{1,15})\b", reply.line)
    moment = re.search(rb'\bINTERNALDATE "([^"]{1,40})"', reply.line)
    if uid is None or size is None or moment is None:
        return None
    return Summary(int(uid[1]), _moment(moment[1].decode("ascii", "replace")), int(size[1]))


def _moment(text: str) -> datetime:
    """` 7-Nov-2026 10:00:00 +0000`. ValueError or OverflowError where it is none."""
    moment = parsedate_to_datetime(text.strip().replace("-", " ", 2))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def inline_body(line: bytes) -> bytes:
    """A body that came as a quoted string, as short ones may."""
    found = _QUOTED.search(line, line.upper().find(b"BODY["))
    return re.sub(rb"\\(.)", rb"\1", found[1]) if found else b""
