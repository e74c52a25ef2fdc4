"""Which mails were dealt with, and what became of each."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import structlog
from pydantic import AwareDatetime, Field, ValidationError

from agent.domain.values import Value
from agent.marketplaces.hot_folder.taking import write_durably

log = structlog.get_logger()


class Outcome(StrEnum):
    TAKEN = "taken"
    AGAIN = "again"
    """The same order, seen before."""
    LATE = "late"
    """Its time to answer was over when it was seen."""
    QUESTION = "question"
    UNPROVEN = "unproven"
    """It says it is from somebody listed, and our server did not find that proven."""
    OTHER = "other"
    """Not from anybody listed, or no template is for it."""
    GONE = "gone"


class Done(Value):
    """`about`: the offer, the folder of the question, or why nothing was made of it."""

    outcome: Outcome
    sender: str = ""
    subject: str = ""
    about: str = ""
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


class _Book(Value):
    uidvalidity: int = 0
    done: dict[int, Done] = {}


class Seen:
    """The file `path`. Blocking. Forgetting costs a second look and nothing else: what is made of a mail is made once all the same."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._book = _Book()

    def load(self) -> None:
        try:
            self._book = _Book.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            self._book = _Book()
        except ValidationError:
            log.warning("mailbox_book_unreadable", file=str(self._path), hint="All mails are looked at again; none is taken twice.")
            self._book = _Book()

    def begin(self, uidvalidity: int, uids: list[int]) -> list[int]:
        """Which of these are still to be dealt with. Others than these are forgotten: they are gone, or too old."""
        known = self._book.done if self._book.uidvalidity == uidvalidity else {}
        if self._book.uidvalidity not in (0, uidvalidity):
            log.info("mailbox_renumbered", hint="All mails are looked at again; none is taken twice.")
        kept = {uid: done for uid, done in known.items() if uid in set(uids)}
        self._book = _Book(uidvalidity=uidvalidity, done=kept)
        return [uid for uid in uids if uid not in kept]

    def done(self, uid: int, what: Done) -> None:
        """On the disk when this returns."""
        self._book = self._book.model_copy(update={"done": {**self._book.done, uid: what}})
        write_durably(self._path, self._book.model_dump_json(indent=1).encode())

    def all(self) -> list[Done]:
        return list(self._book.done.values())
