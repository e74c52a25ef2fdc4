"""What the operator's notification addresses look like. Light: the configuration checks them without loading an HTTP client."""

import ipaddress
import re
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from agent.domain.errors import ConfigError

NTFY_FORM = "ntfy://host/topic, ntfys://host/topic (https) or ntfys://token@host/topic"
_NTFY_SCHEMES = {"ntfy": "http", "ntfys": "https"}
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_TOKEN = re.compile(r"\w{1,128}", re.ASCII)
_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")


class NtfyAddress(NamedTuple):
    """An ntfy server and topic. Either `token`, or `user` and `password`, or neither. `shown` names it without the credential."""

    server: str
    topic: str
    token: str
    user: str
    password: str

    @property
    def shown(self) -> str:
        return f"ntfy {self.server.partition('://')[2]}"


def is_ntfy(url: str) -> bool:
    return _scheme(url) in _NTFY_SCHEMES


def parse_ntfy(url: str) -> NtfyAddress:
    """ConfigError, without the address in its text, where it has not the form `NTFY_FORM`."""
    parts = _split(url)
    topic = parts.path.strip("/") if parts else ""
    if parts is None or not _is_host(parts.hostname or "") or not _TOPIC.fullmatch(topic) or parts.query or parts.fragment:
        raise ConfigError(f"an ntfy address has the form {NTFY_FORM}", hint="a topic is up to 64 letters, digits, - and _")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and not password and not _TOKEN.fullmatch(user):
        raise ConfigError("an ntfy access token is letters, digits and _", hint="with a user name: ntfys://user:password@host/topic")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    credential = ("", user, password) if password else (user, "", "")
    return NtfyAddress(f"{_NTFY_SCHEMES[parts.scheme]}://{host}{port}", topic, *credential)


def check_address(url: str) -> None:
    """ConfigError where no notifier could be made for this address. The text never holds the address: it may hold a credential."""
    if is_ntfy(url):
        parse_ntfy(url)
    elif not _scheme(url):
        raise ConfigError(f"it has the form {NTFY_FORM}, or is one that apprise knows")
    elif find_spec("apprise") is None:
        raise ConfigError(f"{_scheme(url)}:// addresses need apprise, which is not installed", hint='pip install "intagly-agent[apprise]"')


def _scheme(url: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://.", url)
    return match[1].lower() if match else ""


def _is_host(host: str) -> bool:
    if _HOST.fullmatch(host):
        return len(host) <= 253
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read here: a port that is no number shows only now
    except ValueError:
        return None
    return parts
