"""What `check` tells, and how it looks: everything at the same time, each in a thread of its own, none for longer than it is given."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.domain.errors import AgentError

Level = Literal["ok", "warning", "error"]
LIMIT_S = 11.0
"""Of all that is looked at together. With the start and the end of the program it is done within 15 seconds, whatever hangs."""


@dataclass(frozen=True)
class Finding:
    """One line. `hint` is the way out, empty where all is well."""

    subject: str
    level: Level
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Look:
    """Something to look at. It may block, and may run a loop of its own: it has a thread to itself."""

    subject: str
    find: Callable[[], Iterable[Finding]]


def failed(subject: str, error: AgentError) -> Finding:
    return Finding(subject, "error", str(error), error.hint)


def look_at_all(looks: Sequence[Look], limit_s: float = LIMIT_S) -> list[Finding]:
    """In the order of the looks. What has not ended when the time is up is a finding itself, and is left behind."""
    threads = [_Looking(look) for look in looks]
    for thread in threads:
        thread.start()
    until = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [finding for thread in threads for finding in thread.told(limit_s)]


class _Looking(threading.Thread):
    """A daemon thread: one that hangs keeps nobody from leaving. A bug in a look comes out on stderr, with its traceback."""

    def __init__(self, look: Look) -> None:
        super().__init__(name=f"look at {look.subject}", daemon=True)
        self._look = look
        self._found: list[Finding] | None = None

    def run(self) -> None:
        self._found = list(self._look.find())

    def told(self, limit_s: float) -> list[Finding]:
        if self._found is not None:
            return self._found
        if self.is_alive():
            hint = "Something there takes the question and never answers: a name server, a network, a server that hangs."
            return [Finding(self._look.subject, "error", f"no answer within {limit_s:.0f} seconds", hint)]
        return [Finding(self._look.subject, "error", "looking at it failed", "This is a fault of the agent; please report it.")]
