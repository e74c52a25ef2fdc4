"""What becomes of a mail on the disk: an order, or a question. Both are made in a folder ending in .part, and are there once it is renamed.

    taken/<id>/        an order: order.json (its offer), the models, mail.eml, reading.json (each field with its line)
    questions/<id>/    WHY.txt, order.toml (what was understood, a `?` for each thing that was not), the models, mail.eml
    work/              a mail that is being taken apart; emptied when the agent starts

An id comes from what the mail says (the order's number, else the mail's own id and its models), so the same mail is the same folder, and
making it twice makes it once, whenever the agent was killed.
"""

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.offer import AddOn, Item, ModelFile, Offer, OfferState
from agent.domain.values import Value, one_line
from agent.marketplaces.hot_folder.taking import JOURNAL, Journal, read_journal, sync_folder, write_durably
from agent.marketplaces.mailbox.drafts import draft, why_text
from agent.marketplaces.mailbox.files import MODEL_ENDINGS
from agent.marketplaces.mailbox.opening import Closed, MailModel
from agent.marketplaces.mailbox.reading import MailOrder, Reading

RECORD = "reading.json"
MAIL = "mail.eml"
_PART = ".part"
_Placed = tuple[ModelFile, Path]
"""A model as it is announced, and where it lies."""


@dataclass(frozen=True)
class Letter:
    """A mail that is dealt with. `path`: its bytes. `received_at`: by our own server."""

    uid: int
    sender: str
    subject: str
    message_id: str
    received_at: datetime
    path: Path | None = None


class Record(Value):
    """What an order was made of. `content`: equal for mails that order the same."""

    key: str
    content: str
    sender: str
    subject: str
    message_id: str
    received_at: datetime
    reading: Reading
    closed: list[Closed] = []


class Differs(Refused):
    """There is an order of that number already, and it is another one."""


class TooLate(Refused):
    """Its time to answer is over."""


class Post:
    """The folders under `root`. Blocking. OSError where the disk does not do it."""

    def __init__(self, root: Path, answer_within_s: float) -> None:
        self.root = root
        self.taken = root / "taken"
        self.questions = root / "questions"
        self.work = root / "work"
        self._answer_within_s = answer_within_s

    def open(self) -> None:
        """Make the folders. What was being made when the agent died is made anew."""
        shutil.rmtree(self.work, ignore_errors=True)
        for folder in (self.taken, self.questions, self.work):
            folder.mkdir(parents=True, exist_ok=True)
        for left in [*self.taken.glob(f"*{_PART}"), *self.questions.glob(f"*{_PART}")]:
            shutil.rmtree(left)

    def bench(self, uid: int) -> Path:
        """An empty folder to take that mail apart in."""
        folder = self.work / str(uid)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def clear(self, uid: int) -> None:
        shutil.rmtree(self.work / str(uid), ignore_errors=True)

    # --- an order -------------------------------------------------------------------------------------------------

    def take(self, letter: Letter, reading: Reading, models: Sequence[MailModel], closed: Sequence[Closed]) -> tuple[Offer, bool]:
        """The offer it is, and whether it is a new one. Differs, TooLate. `models`: one for each item."""
        order = reading.order
        assert order is not None, "only what was read whole becomes an order"
        key, content = _key(letter, order, models), _content(order, models)
        offer_id = f"mb-{_short(key)}"
        known = self._known(offer_id, content)
        if known is not None:
            return known, False
        files = _files(models)
        offer = self._offer(offer_id, letter, order, files, _items(order, models, files))
        part = self._part(self.taken / offer_id, letter)
        names = [f"{file.file_id}{Path(file.name).suffix.lower()}" for file, _ in files]
        for name, (_, path) in zip(names, files, strict=True):
            _copy_durably(path, part / name)
        record = Record(
            key=key,
            content=content,
            sender=letter.sender,
            subject=letter.subject,
            message_id=letter.message_id,
            received_at=letter.received_at,
            reading=reading,
            closed=list(closed),
        )
        write_durably(part / RECORD, record.model_dump_json(indent=1).encode())
        write_durably(part / JOURNAL, Journal(id=offer_id, models=names, offer=offer).model_dump_json(indent=1).encode())
        _finish(part, self.taken / offer_id)
        return offer, True

    def _known(self, offer_id: str, content: str) -> Offer | None:
        folder = self.taken / offer_id
        if not folder.is_dir():
            return None
        journal = read_journal(folder)
        try:
            record = Record.model_validate_json((folder / RECORD).read_bytes())
        except (FileNotFoundError, ValidationError):
            record = None
        if record is None or journal is None or journal.offer is None:
            raise NeedsOperator(f"{folder} cannot be read: somebody, or a bad disk, changed it.", hint="Put it back from a backup.")
        if record.content != content:
            raise Differs(f"It was taken before as {offer_id}, and this mail orders something else.")
        return journal.offer

    def _offer(self, offer_id: str, letter: Letter, order: MailOrder, files: Sequence[_Placed], items: list[Item]) -> Offer:
        """With the time that is left to answer, by the mail's word or as configured."""
        within_s = order.answer_minutes * 60.0 if order.answer_minutes else self._answer_within_s
        accept_by = order.answer_by or letter.received_at + timedelta(seconds=within_s)
        now = datetime.now(UTC)
        left_s = (accept_by - now).total_seconds()
        if order.answer_by is None:
            left_s = min(left_s, within_s)  # where the mail server's clock is ahead of ours
        if left_s <= 0:
            raise TooLate(f"It was to be answered until {accept_by:%Y-%m-%d %H:%M} UTC.")
        return Offer(
            offer_id=offer_id,
            state=OfferState.OPEN,
            created_at=now,
            accept_by=now + timedelta(seconds=left_s),
            accept_within_s=left_s,
            payout=order.payout,
            ship_by=order.ship_by,
            items=items,
            files=[file for file, _ in files],
            files_before_accept=True,
            add_ons=[AddOn(code=f"a{n}", title=title[:200]) for n, title in enumerate(order.add_ons, start=1)],
            special_instructions=order.instructions,
        )

    # --- a question -------------------------------------------------------------------------------------------------

    def ask(self, letter: Letter, reading: Reading, models: Sequence[MailModel], closed: Sequence[Closed]) -> tuple[Path, bool]:
        """Its folder, and whether it is a new one."""
        digest = _sha256(letter.path) if letter.path else f"{letter.received_at.isoformat()} {letter.subject}"
        folder = self.questions / f"q-{_short(f'{letter.message_id} {digest}')}"
        if folder.is_dir():
            return folder, False
        part = self._part(folder, letter)
        names: set[str] = set()
        for n, model in enumerate(models, start=1):
            name = _free_name(model, n, names)
            names.add(name)
            _copy_durably(model.path, part / name)
        write_durably(part / "order.toml", draft(letter.sender, letter.subject, reading).encode())
        write_durably(part / "WHY.txt", why_text(letter.sender, letter.subject, reading, closed).encode())
        _finish(part, folder)
        return folder, True

    def open_questions(self) -> list[Path]:
        return sorted(path for path in self.questions.glob("q-*") if path.is_dir() and path.suffix != _PART)

    # --- on disk ----------------------------------------------------------------------------------------------------

    def _part(self, folder: Path, letter: Letter) -> Path:
        part = folder.with_name(f"{folder.name}{_PART}")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        if letter.path is not None:
            _copy_durably(letter.path, part / MAIL)
        return part


def _key(letter: Letter, order: MailOrder, models: Sequence[MailModel]) -> str:
    """What makes two mails one order: the sender's number for it; else it is this very mail."""
    if order.number:
        return f"{letter.sender.rpartition('@')[2]} {order.number}"
    return " ".join([letter.message_id, *sorted(model.sha256 for model in models)])


def _content(order: MailOrder, models: Sequence[MailModel]) -> str:
    """Equal where the same is ordered for the same money. The time to answer may be told anew."""
    told = order.model_copy(update={"answer_by": None, "answer_minutes": None}).model_dump(mode="json")
    whole = json.dumps([told, [model.sha256 for model in models]], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _files(models: Sequence[MailModel]) -> list[_Placed]:
    """Each content once, under the first name it has."""
    first: dict[str, MailModel] = {}
    for model in models:
        first.setdefault(model.sha256, model)
    return [
        (
            ModelFile(
                file_id=f"f{n}",
                name=one_line(model.name),
                bytes=model.bytes,
                sha256=model.sha256,
                media_type=MODEL_ENDINGS[model.kind],
            ),
            model.path,
        )
        for n, model in enumerate(first.values(), start=1)
    ]


def _items(order: MailOrder, models: Sequence[MailModel], files: Sequence[_Placed]) -> list[Item]:
    ids = {file.sha256: file.file_id for file, _ in files}
    return [
        Item(
            item_id=f"i{n}",
            file_id=ids[model.sha256],
            quantity=item.quantity,
            material=item.material,
            color=item.color,
            infill_percent=item.infill,
            supports=item.supports,
            layer_height_mm=item.layer_height,
        )
        for n, (item, model) in enumerate(zip(order.items, models, strict=True), start=1)
    ]


def _free_name(model: MailModel, n: int, taken: set[str]) -> str:
    """As it is called, so that the draft's names are those of the files; what could hide or clash gets a number in front."""
    name = model.name if model.name.lower().endswith(tuple(MODEL_ENDINGS)) else f"{model.name}{model.kind}"
    return f"{n}-{name}" if name in taken or name.startswith(".") else name


def _copy_durably(source: Path, into: Path) -> None:
    with source.open("rb") as file, into.open("wb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())


def _finish(part: Path, folder: Path) -> None:
    """From here on it is there."""
    sync_folder(part)
    part.rename(folder)
    sync_folder(folder.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode("utf-8", "replace")).digest())[:10].decode().lower()
