"""Whether a mail is from whom it says: the sender is one we listed, and our own mail server found the sender's domain proven.

What the sender's name looks like counts for nothing, and neither does a verdict that somebody else wrote into the mail: of the headers
Authentication-Results only the topmost with the configured authserv-id is read. RFC 8601 (section 5) has our server take out such headers
that came with a mail; where it wrote none itself, one that was forged would be the topmost. docs/marketplaces.md says how to see that.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import MessageError, MultipartInvariantViolationDefect, ObsoleteHeaderDefect
from email.headerregistry import AddressHeader
from email.parser import BytesHeaderParser
from email.policy import default

from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.marketplaces.mailbox.verdicts import Result, Verdicts, read_verdicts

HEADER_BYTES = 128 * 1024
"""Of a header; a longer one is cut there, and what is below is not seen."""
_LONGEST_FROM = 1000
_LONGEST_SHOWN = 300
_UNREADABLE = (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError, AssertionError)
"""What the standard library's parser of header values raises at values that nobody would send."""
_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,62})\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True)
class Head:
    """What a mail's header says. `sender`: the address in small letters; `why`: why it is not to be trusted, empty where it is."""

    sender: str
    subject: str
    message_id: str
    why: str
    listed: bool
    """Whether it claims to be from somebody we listed."""


def read_head(header: bytes, allowed: Sequence[str], our_server: str) -> Head:
    """`allowed`: addresses, and domains as `@domain`, in small letters. Any bytes are a header."""
    try:
        values = _values(header)
    except _UNREADABLE:
        return Head("", "", "", "its header cannot be read", listed=False)
    subject = _first(values, "subject", _LONGEST_SHOWN)
    message_id = _first(values, "message-id", _LONGEST_SHOWN)
    try:
        sender = _sender(values)
    except Refused as refused:
        return Head("", subject, message_id, str(refused), listed=False)
    if not is_listed(sender, allowed):
        return Head(sender, subject, message_id, "its sender is not listed", listed=False)
    why = _not_proven(values, sender.rpartition("@")[2], our_server)
    return Head(sender, subject, message_id, why, listed=True)


def is_listed(sender: str, allowed: Sequence[str]) -> bool:
    return sender in allowed or f"@{sender.rpartition('@')[2]}" in allowed


_Values = list[tuple[str, str]]


def _values(header: bytes) -> _Values:
    """Names in small letters and raw values, top down. Values are not parsed here: a long one would take minutes."""
    message = BytesHeaderParser(policy=default).parsebytes(header[:HEADER_BYTES])
    # The parts, which are not read here, are what Python 3.11.2 (Debian 12) misses.
    if not all(isinstance(defect, MultipartInvariantViolationDefect) for defect in message.defects):
        raise ValueError("two programs may see different headers in it")
    return [(name.lower(), str(value)) for name, value in message.raw_items()]


def _first(values: _Values, name: str, longest: int) -> str:
    """A header for people's eyes and for templates."""
    value = next((value for known, value in values if known == name), "")[:longest]
    with contextlib.suppress(*_UNREADABLE):  # an encoded word that is none is shown as it is written
        value = str(default.header_factory(name, " ".join(value.splitlines())))
    return one_line(value.encode("utf-8", "replace").decode())


def _sender(values: _Values) -> str:
    """The one address in the one header From. Refused otherwise."""
    found = [value for name, value in values if name == "from"]
    if len(found) != 1 or len(found[0]) > _LONGEST_FROM:
        raise Refused("it has no header From, or several" if len(found) != 1 else "its header From is too long")
    try:
        parsed = default.header_factory("from", " ".join(found[0].splitlines()))
    except _UNREADABLE:
        raise Refused("its header From cannot be read") from None
    addresses = parsed.addresses if isinstance(parsed, AddressHeader) else ()
    if len(addresses) != 1 or not all(isinstance(defect, ObsoleteHeaderDefect) for defect in parsed.defects):
        raise Refused("its header From does not hold exactly one address")
    sender = addresses[0].addr_spec.lower()
    if not _ADDRESS.fullmatch(sender):
        raise Refused("its header From does not hold a plain address")
    return sender


def _not_proven(values: _Values, domain: str, our_server: str) -> str:
    """Why our server does not vouch for the domain; empty where it does."""
    for value in (value for name, value in values if name == "authentication-results"):
        verdicts = read_verdicts(value)
        if verdicts is None and our_server in value.lower():
            return f"the verdict of {our_server} cannot be read"  # what stands below it may be forged
        if verdicts is None or verdicts.server != our_server:
            continue
        unproven = f"{our_server} did not find {domain} proven (no dmarc=pass, no dkim=pass of that domain)"
        return "" if _proves(verdicts, domain) else unproven
    return f"it bears no verdict of {our_server}"


def _proves(verdicts: Verdicts, domain: str) -> bool:
    dmarc = [result for result in verdicts.results if result.method == "dmarc"]
    if dmarc and dmarc[0].result == "fail":
        return False
    passed = [result for result in verdicts.results if result.result == "pass"]
    return any(_is_for(result, domain) for result in passed)


def _is_for(result: Result, domain: str) -> bool:
    """DMARC of exactly that domain; or a signature of it, or of a domain above it."""
    if result.method == "dmarc":
        return result.properties.get("header.from", "").lower() == domain
    if result.method != "dkim":
        return False
    signer = result.properties.get("header.d") or result.properties.get("header.i", "").rpartition("@")[2]
    signer = signer.lower()
    return "." in signer and (signer == domain or domain.endswith(f".{signer}"))
