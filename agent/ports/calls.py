"""Who was called about what, kept durably, so that nobody is told twice and nothing urgent is forgotten over a restart."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from agent.domain.question import Question
from agent.domain.values import Value
from agent.ports.notifier import Notice


class Outcome(StrEnum):
    """How a call ended."""

    SENDING = "sending"
    """Meant; it is not known yet whether it arrived."""
    ARRIVED = "arrived"
    """At least one of the person's addresses took it."""
    FAILED = "failed"
    LOST = "lost"
    """The daemon ended while it was under way; it may have arrived, and is not sent again."""


class Call(Value):
    """The latest call of one person about one notice. `tries`: how many in a row have failed."""

    at: datetime
    outcome: Outcome
    tries: int = 0


class KeptNotice(Value):
    """A notice, and what has come of it. `run`: the life of the daemon that made it. `calls`: by person."""

    id: int
    run: str
    notice: Notice
    made_at: datetime
    snoozed_until: datetime | None = None
    snoozed_by: str = ""
    calls: dict[str, Call] = {}


class Press(StrEnum):
    """What a button does."""

    ANSWER = "answer"
    BED = "bed"
    RESUME = "resume"
    SNOOZE = "snooze"


class KeptButton(Value):
    """A button that was sent to a person. `subject` says what exactly it is about: no other question, bed or job is touched by it."""

    notice_id: int
    person: str
    act: Press
    subject: dict[str, str]
    until: datetime
    pressed_at: datetime | None = None


class Calls(Protocol):
    """Every method is one transaction, and raises as those of the ledger do."""

    def add_notice(self, key: str, run: str, notice: Notice) -> bool:
        """False where this very event is known: one with that key; or, where nothing is asked, the last that was told of its order or
        printer said the same, within a day, in an earlier run. The latter spares one notice a run, and no more."""
        ...

    def untold_questions(self, asked_before: datetime) -> Sequence[Question]:
        """Those that wait for an answer, were asked before that time, and have no notice `question <id>`; the oldest first."""
        ...

    def open_notices(self) -> Sequence[KeptNotice]:
        """All about which somebody may still have to be called, the oldest first."""
        ...

    def begin_call(self, notices: Collection[int], person: str) -> None:
        """The person is about to be called about them: written before anything is sent."""
        ...

    def end_call(self, notices: Collection[int], person: str, outcome: Outcome) -> None: ...

    def close_notices(self, notices: Collection[int]) -> None:
        """Nobody needs to be called about them any more."""
        ...

    def snooze(self, notice: int, person: str, until: datetime) -> None:
        """That person has seen it; nobody is called about it before then, and they are called again where it still waits."""
        ...

    def latest_calls(self) -> Mapping[str, Call]:
        """Each person's latest call."""
        ...

    def forget_calls(self, before: datetime) -> None:
        """Drop what is over and older than that."""
        ...

    # --- buttons ------------------------------------------------------------------------------------------
    def add_button(self, secret_sha256: str, button: KeptButton) -> None: ...

    def button(self, secret_sha256: str) -> KeptButton | None: ...

    def press(self, secret_sha256: str) -> bool:
        """Spend it. False where it is spent already, or unknown."""
        ...


class Buttons(Protocol):
    """What the web page does for a button that was pressed in a message."""

    def button(self, secret_sha256: str) -> KeptButton | None: ...

    def press(self, secret_sha256: str) -> bool:
        """As `Calls.press`."""
        ...

    def snooze(self, button: KeptButton) -> datetime:
        """Until when nobody is called about it."""
        ...

    def refused(self, button: KeptButton, why: str) -> None:
        """Tell that person that the button did nothing: their phone shows no more than that it failed."""
        ...
