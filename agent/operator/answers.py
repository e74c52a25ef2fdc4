"""A person's answers, checked before the ledger takes them: nothing is claimed that a person did not say."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.domain.errors import Refused
from agent.domain.job import Job, JobState
from agent.domain.offer import Agreement, Offer
from agent.domain.printer import BedState
from agent.domain.question import Question, Step
from agent.domain.rejection import LONGEST_WHY, Rejection, RejectReason
from agent.ports.files import FileStore
from agent.ports.ledger import Bed, Ledger, Stale

LARGEST_PHOTO_BYTES = 20_000_000
LONGEST_NOTE = 2000
"""Characters; more is refused by the Operator API."""
LONGEST_NAME = 200
OTHER = "other"
"""What is said of a parcel that went into none of the packagings that are counted."""
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_PROGRAM_WORDS = frozenset({"agent", "intagly", "bot", "robot", "daemon", "system", "automatic", "automated", "script", "program", "cron"})
_ACCOUNTS = frozenset({"root", "admin", "administrator", "auto", "nobody", "none", "null", "octopi", "pi", "user", "www data"})
"""Names of accounts, as a whole only: there are people called Root and Null."""


class Answers:
    """Answers of one named person. Refused where the answer does not fit what was asked.

    `person` may be the name of an account, as it comes from a shell. Only where sentences are agreed to it must be a person's own.
    """

    def __init__(self, ledger: Ledger, store: FileStore, person: str) -> None:
        self._ledger = ledger
        self._store = store
        self._person = " ".join(person.split())

    def bed_is_clear(self, printer: str, seen: str | None = None) -> None:
        """The bed of this printer is free. Refused while a job of ours is printing there.

        `seen`: the `bed_mark` of the bed as it was when this was said, for words that may arrive late, or twice. Stale where something
        happened to the bed since then: it may be another part that lies there now. None: said at this moment.
        """
        bed = self._ledger.beds().get(printer)
        if seen is not None and seen != bed_mark(bed):
            now = f"{bed.state} ({bed.said_by})" if bed is not None else "not known"
            hint = "Look at the bed, and say it again if it is clear."
            raise Stale(f"The bed of {printer} has changed since that was shown: it is {now}.", hint=hint, code="bed_changed")
        job = job_on(self._ledger, printer)
        if job is not None and job.state in (JobState.STARTING, JobState.PRINTING):
            raise Refused(
                f"{printer} is still at {job.remote_name} as far as the agent knows.",
                hint="Wait until the print has ended, or cancel it at the printer.",
                code="printing",
            )
        self._ledger.set_bed(printer, BedState.FREE, self._named())
        for question in self._ledger.open_questions():
            if question.step is Step.BED and question.printer == printer:
                self._ledger.answer(question, {"choice": "clear"}, self._named(), settles=True)

    def choose(self, step: Step, order_id: str, choice: str, more: Mapping[str, Any] | None = None, *, asked: int | None = None) -> None:
        """One of the choices the question gives; with only one, `choice` may be empty.

        `asked`: the id of the question this answers, where the words may arrive late, or twice. Stale, with who was first, where that one
        was answered or taken back: the same may have been asked anew since then. None: whatever is asked now.
        """
        question = self._question(step, order_id, asked)
        if not choice and len(question.choices) == 1:
            choice = next(iter(question.choices))
        if choice not in question.choices:
            offered = "; ".join(f"{name}: {meaning}" for name, meaning in question.choices.items())
            hint = f"Say one of: {offered}" if offered else "It is not answered with a choice."
            raise Refused(f"'{choice}' is no answer to “{question.text}”", hint=hint, code="no_such_choice")
        self._answer(question, {"choice": choice, **(more or {})}, self._named())

    def packed(self, order_id: str, used: str = "", *, asked: int | None = None) -> None:
        """The parcel is closed, in the packaging of that name. Empty: in the planned one; OTHER: in one that is not counted here."""
        question = self._question(Step.PACKED, order_id, asked)
        known = [str(name) for name in question.data.get("packagings", [])]
        if used and used != OTHER and used not in known:
            hint = f"Say one of: {', '.join([*known, OTHER])}."
            raise Refused(f"There is no packaging {used}.", hint=hint, code="no_such_packaging")
        into = used if used in known else ""
        if not used:
            into = str(question.data.get("packaging", ""))
        self.choose(Step.PACKED, order_id, "", {"packaging": into}, asked=question.id)

    def photographed(
        self,
        order_id: str,
        photos: Sequence[Path],
        agreed: Sequence[str],
        customer_note: str = "",
        internal_note: str = "",
        *,
        items: Sequence[str] = (),
        asked: int | None = None,
    ) -> None:
        """Photos, and the codes of the attestations this person was shown and agrees to: every one that is demanded, or none is taken.

        `items`: what each photo shows, empty where it shows more than one item or nobody said. `asked` as in `choose`. Whoever calls this
        vouches for the person: a test knows every caller by name.
        """
        question = self._question(Step.PHOTOS, order_id, asked)
        person = self._in_person()
        agreements = _agreements(question, agreed, person)
        if not photos:
            raise Refused("At least one photo is needed.", hint="intagly-agent confirm photos ORDER --photo FILE …", code="no_photos")
        said: dict[str, Any] = {"agreements": agreements, "customer_note": _note(customer_note), "internal_note": _note(internal_note)}
        said["photos"] = {f"photo-{n}": self._photo(path) for n, path in enumerate(photos, start=1)}
        said["shows"] = {f"photo-{n}": item for n, item in enumerate(items, start=1) if item}
        self._answer(question, said, person)

    def rejected(self, order_id: str, rejection: Rejection, *, asked: int | None = None) -> None:
        """Instead of photos: these pieces are not handed in, they are printed again. Whoever says it agrees to nothing.

        Refused where there are no such pieces, or no reason in words where none of the list fits. `asked` as in `choose`.
        """
        question = self._question(Step.PHOTOS, order_id, asked)
        named = self._named()
        require_pieces(self._ledger.order(order_id).dossier.offer, rejection.pieces)
        if len(rejection.why) > LONGEST_WHY:
            text = f"Why has at most {LONGEST_WHY} characters; this has {len(rejection.why)}."
            raise Refused(text, hint="Make it shorter.", code="note_too_long")
        if rejection.reason is RejectReason.OTHER and not rejection.why.strip():
            raise Refused("It is not said what is wrong.", hint="Say it in a few words, or choose a reason of the list.", code="no_reason")
        self._answer(question, {"rejected": rejection.model_dump(mode="json")}, named)

    def _answer(self, question: Question, answer: Mapping[str, Any], by: str) -> None:
        try:
            self._ledger.answer(question, answer, by)
        except Stale as late:
            raise too_late(self._ledger.question_by_id(question.id) or question) from late

    def _photo(self, path: Path) -> str:
        try:
            size = path.stat().st_size
            content = path.read_bytes() if 0 < size <= LARGEST_PHOTO_BYTES else b""
        except OSError as error:
            raise Refused(f"{path.name} cannot be read: {error.strerror}.", hint="Give the path of a photo.", code="no_photo") from error
        if not _is_picture(content):
            limit = LARGEST_PHOTO_BYTES // 1_000_000
            raise Refused(
                f"{path.name} is no JPEG, PNG or WebP of at most {limit} MB.", hint="Take the photo again, or convert it.", code="no_photo"
            )
        return self._store.put(content)

    def _question(self, step: Step, order_id: str, asked: int | None = None) -> Question:
        question = next((open_ for open_ in self._ledger.open_questions() if open_.step is step and open_.order_id == order_id), None)
        if question is not None and asked in (None, question.id):
            return question
        meant = None if asked is None else self._ledger.question_by_id(asked)
        if meant is not None and (meant.step, meant.order_id) == (step, order_id):
            raise too_late(meant)
        waiting = ", ".join(sorted({f"{open_.step} {open_.printer or open_.order_id}" for open_ in self._ledger.open_questions()}))
        raise Refused(f"Order {order_id} does not wait for '{step}'.", hint=f"What waits: {waiting or 'nothing'}.", code="not_asked")

    def _named(self) -> str:
        if not self._person or len(self._person) > LONGEST_NAME or not self._person.isprintable():
            raise Refused("It is not known who you are.", hint="Say it with --by NAME.", code="person_required")
        return self._person

    def _in_person(self) -> str:
        name = self._named()
        if not is_person(name):
            raise Refused(
                f"A person must agree, and “{name}” is the name of a program or an account.",
                hint="Say who you are with --by NAME: your own name.",
                code="person_required",
            )
        return name


def too_late(question: Question) -> Stale:
    """What is told to whoever answers a question that needs no answer any more: who was first, and with what."""
    hint = "Nothing was changed by this."
    if question.answered_at is None:
        return Stale("This is not asked any more.", hint=hint, code="not_asked_any_more")
    choice = str(question.answer.get("choice", ""))
    said = f": “{question.choices.get(choice, choice)}”" if choice else ""
    when = f"{question.answered_at.astimezone():%d %b %H:%M:%S}"
    return Stale(f"{question.answered_by} answered this on {when}{said}.", hint=hint, code="answered_already")


def bed_mark(bed: Bed | None) -> str:
    """Another one whenever something happens to the bed, or somebody says something of it."""
    return "" if bed is None else bed.mark


def is_person(name: str) -> bool:
    """False for what programs and accounts call themselves, and where there is no letter in it."""
    words = re.findall(r"[^\W\d_]+", name.casefold())
    return bool(words) and not _PROGRAM_WORDS.intersection(words) and " ".join(words) not in _ACCOUNTS


def _agreements(question: Question, agreed: Sequence[str], person: str) -> list[dict[str, Any]]:
    demanded = {str(attestation["code"]): str(attestation["text"]) for attestation in question.data.get("attestations", [])}
    missing = [f"{code}: “{text}”" for code, text in demanded.items() if code not in agreed]
    if missing:
        raise Refused(
            "The marketplace demands that a person agrees to: " + "; ".join(missing),
            hint="If you have looked and it is so, add --agree CODE for each. If not, the item must be made again.",
            code="not_agreed",
        )
    now = datetime.now(UTC)
    made = [
        Agreement(code=code, text_sha256=hashlib.sha256(text.encode()).hexdigest(), agreed_by=person, agreed_at=now)
        for code, text in demanded.items()
    ]
    return [agreement.model_dump(mode="json") for agreement in made]


def require_pieces(offer: Offer, pieces: Mapping[str, int]) -> None:
    """Refused where it is not some of what was ordered."""
    ordered = {item.item_id: item.quantity for item in offer.items}
    if not pieces or any(not 1 <= count <= ordered.get(item_id, 0) for item_id, count in pieces.items()):
        known = ", ".join(f"{item_id}: 1 to {quantity}" for item_id, quantity in ordered.items())
        raise Refused("It is not said which pieces to print again.", hint=f"Say how many of which: {known}.", code="no_such_pieces")


def _note(text: str) -> str:
    if len(text) > LONGEST_NOTE:
        raise Refused(
            f"A note has at most {LONGEST_NOTE} characters; this one has {len(text)}.", hint="Make it shorter.", code="note_too_long"
        )
    return text


def _is_picture(content: bytes) -> bool:
    return content.startswith((_JPEG, _PNG)) or (content.startswith(b"RIFF") and content[8:12] == b"WEBP")


def job_on(ledger: Ledger, printer: str) -> Job | None:
    """The job that has this printer to itself now."""
    return next((job for job in ledger.active_jobs() if job.printer == printer), None)
