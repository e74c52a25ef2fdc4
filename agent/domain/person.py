"""Who may look and who may act: people, the devices they are signed in on, and tokens for scripts."""

import hashlib
import secrets
from datetime import datetime
from enum import StrEnum

from agent.domain.values import Value

_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
CODE_LENGTH = 8
"""Of a pairing code: 30^8, about 39 bits, for some minutes and behind a rate limit."""


class Role(StrEnum):
    OPERATOR = "operator"
    """Looks, answers, agrees, controls printers, lets others in."""
    VIEWER = "viewer"
    """Only looks."""


class Scope(StrEnum):
    """What a token for a script may do. None of them lets it agree to a sentence: that takes a person."""

    READ = "read"
    ANSWER = "answer"
    CONTROL = "control"
    """Pause, resume and cancel prints of the agent."""
    METRICS = "metrics"
    """Only the figures for Prometheus."""


class Person(Value):
    """Somebody who may sign in. No two have one name, whatever its capitals."""

    id: int
    name: str
    role: Role
    added_at: datetime


class Session(Value):
    """One device a person is signed in on. `device` is what its browser calls itself: only for the person to tell devices apart."""

    id: int
    person: Person
    device: str
    began_at: datetime
    seen_at: datetime


class ApiToken(Value):
    """A script's right. Its secret is shown once and never kept."""

    id: int
    name: str
    scopes: list[Scope]
    made_by: str
    made_at: datetime


def new_secret() -> str:
    """Of a session or a token: 256 bits, so a plain hash of it is as good as any."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """A pairing code, for typing: no capitals, no look-alikes."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(CODE_LENGTH))


def hashed(secret: str) -> str:
    """What is kept of a session's secret, a token or a pairing code."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def code_typed(text: str) -> str:
    """A pairing code as it was meant: people type capitals, spaces and dashes."""
    return "".join(character for character in text.lower() if character.isalnum())


def shown_code(code: str) -> str:
    """In two halves, for reading aloud."""
    return f"{code[: CODE_LENGTH // 2]}-{code[CODE_LENGTH // 2 :]}"
