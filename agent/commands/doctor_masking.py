"""What of a configuration, a log and a finding may leave the house. Only what is known to be harmless stays; the rest is said to be there.

Twice: each thing is reduced by its type where it is gathered, and all that is written goes through a sweep for whatever secret is known.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import time
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from agent import logs
from agent.config.model import Settings
from agent.config.secrets import Secret
from agent.discovery.found import is_ours

SET, UNSET = "(set)", "(not set)"
_SHOWN = frozenset({"name", "kind", "profile", "slicer", "material", "prefix", "discovery_prefix", "model"})
"""Options of text that hold the operator's own, harmless words. People's names are not among them."""
_PEOPLE = frozenset({"people", "senders", "blocked_words"})
_PRIVATE = ("serial", "username", "authserv_id")
_LEAST = 4
"""A shorter secret is not looked for everywhere: it would be found in every word."""
_MAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,253}")
_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>“”,;)]+", re.IGNORECASE)
_SERIAL = re.compile(r"\b(?=[0-9A-Z]*[0-9])(?=[0-9A-Z]*[A-Z])[0-9A-Z]{12,32}\b")
_FRAME = re.compile(r'\s*File "([^"]+)", line (\d+), in ([A-Za-z0-9_<>]+)\s*')
_EVENT = re.compile(r"[a-z][a-z0-9_.]{0,60}")


# --- the configuration -------------------------------------------------------------------------------------------
def reduced(value: Any, option: str = "") -> Any:
    """A section, or the value of an option, as it may be shown: numbers, choices and harmless names; of the rest, that it is set."""
    match value:
        case BaseModel():
            return {name: _reduced_option(value, name) for name in type(value).model_fields}
        case list() | tuple() | dict():
            return _reduced_many(value, option)
        case str() if not isinstance(value, Enum):
            return _reduced_text(value, option)
        case _:
            return _reduced_single(value)


def _reduced_single(value: Any) -> Any:
    match value:
        case None:
            return UNSET
        case bool() | int() | float():
            return value
        case Enum():
            return value.value
        case time():
            return value.isoformat("minutes")
        case SecretStr():
            return SET if value.get_secret_value() else UNSET
        case _:
            return SET  # a secret, a path, whatever comes: that it is there


def _reduced_option(section: BaseModel, name: str) -> Any:
    value = getattr(section, name)
    if isinstance(value, str) and _is_choice(type(section).model_fields[name].annotation):
        return value
    return reduced(value, name)


def _is_choice(annotation: Any) -> bool:
    return get_origin(annotation) is Literal or any(_is_choice(part) for part in get_args(annotation) if get_origin(part) is Literal)


def _reduced_many(value: Iterable[Any], option: str) -> Any:
    if option in _PEOPLE or isinstance(value, dict):
        return f"({len(list(value))} of them)"
    return [reduced(part, option) for part in value]


def _reduced_text(text: str, option: str) -> str:
    if not text:
        return UNSET
    if option in _SHOWN:
        return text
    return _reduced_url(text) if "://" in text else SET


def _reduced_url(text: str) -> str:
    """Its scheme and port, and its host where that is in a private network: no name, no path, no topic, no token."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return SET
    shown = host if host == "localhost" or is_ours(host) else "(a host)"
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}/…"


# --- the sweep ---------------------------------------------------------------------------------------------------
def secrets_of(value: Any) -> Iterator[str]:
    """Every secret a configuration holds, by its type: wherever it stands, also line by line and as parts of an address."""
    match value:
        case SecretStr():
            yield from _parts(value.get_secret_value())
        case Secret():
            yield from _parts(value.reveal())
        case BaseModel():
            yield from _secrets_in(value)
        case list() | tuple() | dict():
            for part in value.values() if isinstance(value, dict) else value:
                yield from secrets_of(part)


def _secrets_in(section: BaseModel) -> Iterator[str]:
    """Also what is no secret by its type, and is nobody's business all the same."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        yield from [value] if name in _PRIVATE and isinstance(value, str) else secrets_of(value)
    if isinstance(section, Settings):
        yield from secrets_of(section.printers)


def _parts(secret: str) -> Iterator[str]:
    for line in secret.splitlines():
        yield line.strip()
        if "://" in line:
            yield from (part for part in re.split(r"[/@:?&=#]+", line.partition("://")[2]) if not _is_plain_host(part))


def _is_plain_host(part: str) -> bool:
    return part in ("localhost", "127.0.0.1") or part.isdecimal()


class Sweep:
    """Takes every known secret, credential, e-mail address, serial number and address's path out of text."""

    def __init__(self, secrets: Iterable[str], environ: Mapping[str, str]) -> None:
        known = {secret for secret in [*secrets, *_of_environment(environ)] if len(secret) >= _LEAST}
        known |= {json.dumps(secret, ensure_ascii=False)[1:-1] for secret in known} | {json.dumps(secret)[1:-1] for secret in known}
        self._known = re.compile("|".join(re.escape(secret) for secret in sorted(known, key=len, reverse=True))) if known else None

    def clean(self, text: str) -> str:
        text = self._known.sub(logs.MASK, text) if self._known else text
        text = _URL.sub(lambda match: _reduced_url(match[0]), logs.masked(text))
        text = _SERIAL.sub("(a serial number)", _MAIL.sub("(an address)", text))
        return text.replace(str(Path.home()), "~") if str(Path.home()) != "/" else text


def _of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """Values of variables that are called as secrets are, and all of ours that hold text."""
    for name, value in environ.items():
        if re.search(r"TOKEN|KEY|PASS|SECRET|CODE|CREDENTIAL|AUTH|COOKIE", name.upper()) and not value.startswith("/"):
            yield value
        if name.startswith("INTAGLY_AGENT__") and "://" in value:
            yield from _parts(value)


# --- the log -----------------------------------------------------------------------------------------------------
def reduced_line(line: str) -> dict[str, Any] | None:
    """Of a line of the daemon's log its event, when, and what is a number; of a traceback its frames. None where it is no such line."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    kept: dict[str, Any] = {key: value for key, value in told.items() if _EVENT.fullmatch(key) and isinstance(value, bool | int | float)}
    for key in ("level", "timestamp", "event", "printer"):
        if isinstance(value := told.get(key), str) and (key == "timestamp" or _EVENT.fullmatch(value)):
            kept[key] = value[:40]
    if isinstance(trace := told.get("exception"), str):
        kept["frames"] = [
            f"{Path(match[1]).name}:{match[2]} {match[3]}" for text in trace.splitlines() if (match := _FRAME.fullmatch(text))
        ]
        kept["error"] = (re.findall(r"^([A-Za-z_][A-Za-z0-9_.]*)(?::|$)", trace, re.MULTILINE) or [""])[-1][:80]
    return kept
