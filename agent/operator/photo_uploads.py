"""Photos on their way: received in pieces, kept over lost networks, closed pages and restarts, looked at as soon as they are whole.

What counts is what the ledger says was received: it is noted after the bytes were synced. Whatever else lies in a part's file, of a
request that was cut off, is written over.
"""

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.mesh import Reason
from agent.domain.offer import Offer
from agent.domain.order import Order
from agent.domain.question import Question, Step
from agent.domain.upload import NewUpload, Upload
from agent.operator.photos import LARGEST_PHOTO_BYTES, CheckedPhoto, check_photo, with_duplicate_hint
from agent.ports.files import FileStore
from agent.ports.ledger import Ledger
from agent.ports.uploads import Uploads

LONGEST_KEY = 64
REQUEST_S = 120.0
"""One request may take so long; what came until then counts."""
STALE = timedelta(days=2)
"""A photo that did not come whole in this time does not come any more."""


class KeptPhoto(CheckedPhoto):
    """A photo that is here, with what looking at it found. `whole` False: it is still on its way."""

    id: str
    item_id: str
    whole: bool
    length: int
    received: int

    @property
    def usable(self) -> bool:
        return bool(self.sha256)


class PhotoUploads:
    """Photos of orders that ask for them. `folder`: where the parts lie, a file for each, named by us."""

    def __init__(self, ledger: Ledger, uploads: Uploads, store: FileStore, folder: Path) -> None:
        self._ledger = ledger
        self._uploads = uploads
        self._store = store
        self._folder = folder
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._writing: dict[str, asyncio.Timeout] = {}
        self._looking = asyncio.Semaphore(1)
        """One photo takes a tenth of a gigabyte while it is looked at."""

    # --- on their way ----------------------------------------------------------------------------------------------
    def begin(self, new: NewUpload, now: datetime) -> Upload:
        """Refused where the order does not ask for photos now, has no such item, or takes no more; NeedsOperator where there is no room."""
        photo_question(self._ledger, new.order_id)
        _must_be_of(self._ledger.order(new.order_id).dossier.offer, new.item_id)
        if not 0 < new.length <= LARGEST_PHOTO_BYTES:
            hint = "Take it with a smaller size." if new.length else "Send it once more."
            text = f"The photo has {new.length} bytes; 1 to {LARGEST_PHOTO_BYTES} are taken."
            raise Refused(text, hint=hint, code="too_large" if new.length else "no_photo")
        if not (new.key.isascii() and new.key.isprintable() and 0 < len(new.key) <= LONGEST_KEY):
            raise Refused(f"A key has 1 to {LONGEST_KEY} plain characters.", hint="Send it once more.", code="bad_key")
        self.sweep(now)
        self._store.require_room()
        return self._uploads.begin_upload(secrets.token_hex(16), new)

    def find(self, upload_id: str, person: str) -> Upload:
        """As far as it has come. Refused where this person has begun no such photo, or its order does not ask for photos any more."""
        upload = self._uploads.upload(upload_id)
        if upload is None or upload.person != person:
            raise Refused("There is no such photo on its way.", hint="Take it again.", code="no_such_upload")
        photo_question(self._ledger, upload.order_id)
        return self._as_on_disk(upload)

    async def settled(self, upload_id: str, person: str) -> Upload:
        """As `find`, once an earlier request that still hangs was given up."""
        self.find(upload_id, person)
        async with self._turn(upload_id):
            return self.find(upload_id, person)

    async def append(self, upload_id: str, person: str, offset: int, body: AsyncIterable[bytes]) -> Upload:
        """Bytes from `offset` on, as many as come. Refused (wrong_offset) where it is not where the last ended, (more_than_announced)
        where there are more than were announced: nothing of this request counts then.

        Who sends while an earlier request for the same photo hangs, is believed: a phone that lost its network begins anew.
        """
        self.find(upload_id, person)
        async with self._turn(upload_id):
            upload = self.find(upload_id, person)
            if offset != upload.received:
                text = f"{upload.received} bytes of this photo are here; these begin at {offset}."
                raise Refused(text, hint="Go on where it ended.", code="wrong_offset")
            received = await self._written(upload, body) if not upload.whole else await _nothing_more(upload, body)
            return self._uploads.note_received(upload, received) if received > upload.received else upload

    async def finished(self, upload: Upload) -> Upload:
        """Looked at, where it is whole and was not yet. Whoever asks first waits for it; the part's file is gone then."""
        if not upload.whole or upload.checked is not None:
            return upload
        async with self._lock(upload.id), self._looking:
            now = self._uploads.upload(upload.id)
            if now is None or now.checked is not None or not now.whole:
                return now or upload
            found = await self._looked_at(now)
            checked = self._uploads.note_checked(now, found.model_dump(mode="json"))
            self._part(upload).unlink(missing_ok=True)
            return checked

    async def add(self, new: NewUpload, now: datetime, body: AsyncIterable[bytes]) -> Upload:
        """One that came whole, in a form."""
        upload = self.begin(new, now)
        return await self.finished(await self.append(upload.id, new.person, upload.received, body))

    # --- here ------------------------------------------------------------------------------------------------------
    async def kept(self, order: Order) -> list[KeptPhoto]:
        """The order's photos, item by item, each as it was found. Those of parts that are printed again show what is no more."""
        again = _printed_again(self._ledger, order.id)
        uploads = self._uploads.uploads(order.id)
        gone = [upload.id for upload in uploads if upload.began_at < again.get(upload.item_id, upload.began_at)]
        self.remove(order.id, gone)
        here = [await self.finished(upload) for upload in uploads if upload.id not in gone]
        places = {item.item_id: n for n, item in enumerate(order.dossier.offer.items)}
        kept: list[KeptPhoto] = []
        for upload in sorted(here, key=lambda upload: places.get(upload.item_id, len(places))):
            photo = CheckedPhoto.model_validate(upload.checked or {})
            told = with_duplicate_hint(photo, [*kept]) if photo.sha256 else photo
            kept.append(_kept(upload, told))
        return kept

    def remove(self, order_id: str, upload_ids: Collection[str]) -> None:
        """Those of this order; what is not there is no matter."""
        own = [upload for upload in self._uploads.uploads(order_id) if upload.id in upload_ids]
        if own:
            self._uploads.put_away([upload.id for upload in own])
        for upload in own:
            self._part(upload).unlink(missing_ok=True)

    def handed_in(self, order_id: str) -> None:
        """The order has its photos: none of these is of use any more."""
        self.remove(order_id, [upload.id for upload in self._uploads.uploads(order_id)])

    def sweep(self, now: datetime) -> None:
        """Give up what does not come any more, and drop files that nobody speaks of."""
        unfinished = self._uploads.unfinished_uploads()
        stale = {upload.id for upload in unfinished if upload.touched_at < now - STALE}
        if stale:
            self._uploads.put_away(stale)
        known = {upload.id for upload in unfinished} - stale
        for part in self._folder.glob("*") if self._folder.is_dir() else ():
            if part.name not in known and part.name not in self._writing:
                part.unlink(missing_ok=True)

    # --- bytes -----------------------------------------------------------------------------------------------------
    def _turn(self, upload_id: str) -> asyncio.Lock:
        """Who is at it stops now, with what has come."""
        if (earlier := self._writing.pop(upload_id, None)) is not None:
            earlier.reschedule(0)
        return self._lock(upload_id)

    def _lock(self, upload_id: str) -> asyncio.Lock:
        return self._locks.setdefault(upload_id, asyncio.Lock())

    def _part(self, upload: Upload) -> Path:
        return self._folder / upload.id

    def _as_on_disk(self, upload: Upload) -> Upload:
        """Where the disk has less than was noted, somebody emptied the folder: it begins anew."""
        if upload.checked is not None or not upload.received:
            return upload
        part = self._part(upload)
        lies = part.stat().st_size if part.is_file() else 0
        return upload if lies >= upload.received else self._uploads.note_received(upload, 0)

    async def _written(self, upload: Upload, body: AsyncIterable[bytes]) -> int:
        """Where it ends now, on the disk."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(self._part(upload), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                file.seek(upload.received)
                end = await self._taken(upload, body, file)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
                return end
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            hint = "Free some space on the agent's machine; then it goes on by itself."
            raise NeedsOperator("The disk is full: the photo cannot be kept.", hint=hint, code="disk_full") from error

    async def _taken(self, upload: Upload, body: AsyncIterable[bytes], file: BinaryIO) -> int:
        at = upload.received
        try:
            async with asyncio.timeout(REQUEST_S) as turn:
                self._writing[upload.id] = turn
                try:
                    async for piece in body:
                        at += len(piece)
                        must_be_within(upload, at)
                        file.write(piece)
                finally:
                    self._writing.pop(upload.id, None)
        except TimeoutError:
            pass  # too slow, or the phone begins anew: what came until now counts
        return at

    async def _looked_at(self, upload: Upload) -> CheckedPhoto:
        part = self._part(upload)
        if not part.is_file():
            return CheckedPhoto(refused=Reason(code="lost", text="It was lost on the agent's disk. Take it again."))
        os.truncate(part, upload.length)  # what a machine that died left behind it does not count
        return await check_photo(part, self._store)


async def _nothing_more(upload: Upload, body: AsyncIterable[bytes]) -> int:
    async for piece in body:
        must_be_within(upload, upload.length + len(piece))
    return upload.length


def must_be_within(upload: Upload, end: int) -> None:
    """Refused where bytes would reach beyond what was announced."""
    if end > upload.length:
        text = f"The photo was announced with {upload.length} bytes, and more came."
        raise Refused(text, hint="Take it again.", code="more_than_announced")


def photo_question(ledger: Ledger, order_id: str) -> Question:
    """Refused where the order does not ask for photos now."""
    asked = (open_ for open_ in ledger.open_questions() if open_.step is Step.PHOTOS and open_.order_id == order_id)
    question = next(asked, None)
    if question is None:
        raise Refused("This order does not ask for photos now.", hint="Its page says what it waits for.", code="not_asked")
    return question


def _must_be_of(offer: Offer, item_id: str) -> None:
    if item_id and item_id not in {item.item_id for item in offer.items}:
        raise Refused(f"This order has no item {item_id[:50]}.", hint="Load the page again.", code="no_such_item")


def _kept(upload: Upload, photo: CheckedPhoto) -> KeptPhoto:
    facts = upload.model_dump(include={"id", "item_id", "length", "received"})
    return KeptPhoto.model_validate({**photo.model_dump(), **facts, "whole": upload.whole})


def _printed_again(ledger: Ledger, order_id: str) -> dict[str, datetime]:
    """Item -> when a person last said that some of it is to be printed again; "" for the order as a whole."""
    again: dict[str, datetime] = {}
    for event in ledger.events(order_id):
        rejected = event.data.get("answer", {}).get("rejected") if event.kind == "answered" else None
        if rejected:
            again |= dict.fromkeys(["", *rejected["pieces"]], event.at)
    return again
