"""How a print queue is named: no more than text, so that a configuration can be checked without what prints."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from agent.domain.errors import Refused

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,127}")
_IPP_PORT = 631


class Address(NamedTuple):
    """As IPP names the queue, as HTTP reaches it, and whether it is one of CUPS on this machine."""

    uri: str
    url: str
    here: bool


def address_of(text: str) -> Address:
    """The name of a queue of CUPS on this machine, or ipp://HOST[:PORT]/PATH, ipps://… of any other. Refused where it is neither."""
    if _NAME.fullmatch(text):
        path = f"localhost:{_IPP_PORT}/printers/{text}"
        return Address(f"ipp://localhost/printers/{text}", f"http://{path}", here=True)
    try:
        parts = urlsplit(text)
        port = parts.port or _IPP_PORT
    except ValueError:
        raise _no_queue(text) from None
    if parts.scheme not in ("ipp", "ipps") or not parts.hostname or "@" in parts.netloc or len(parts.path) < 2 or not text.isprintable():
        raise _no_queue(text)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    scheme = "https" if parts.scheme == "ipps" else "http"
    return Address(text, f"{scheme}://{host}:{port}{parts.path}", here=False)


def _no_queue(text: str) -> Refused:
    hint = "Give the name of a queue of CUPS, or ipp://HOST/printers/NAME."
    return Refused(f"{text[:80]!r} is no queue.", hint=hint, code="no_such_queue")
