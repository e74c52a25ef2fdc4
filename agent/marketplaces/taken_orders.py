"""The orders that were taken out of a hot folder: what they are (order.json), and what became of them (state.json)."""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from pydantic import AwareDatetime, ValidationError

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.offer import Agreement, Attestation, DeclineReason, Offer, OfferState, ProblemCode, RemoteOrder, RemoteState
from agent.domain.values import Value
from agent.marketplaces.hot_folder.taking import JOURNAL, read_journal, write_durably

log = structlog.get_logger()

NO_FLAWS = Attestation(code="no_flaws", text="I have looked at every part of this order, and there are no visible flaws.")
AGAIN = "The files lie in this folder. To order it again, move them back into the hot folder."
_STATE = "state.json"
_ID = r"(hf|mb)-[a-z0-9]{10}"
_CHUNK = 1 << 20
_HANDED_IN = frozenset({RemoteState.SUBMITTED, RemoteState.DELIVERED})
_CODES = {OfferState.EXPIRED: "deadline_passed", OfferState.ACCEPTED: "taken", OfferState.DECLINED: "withdrawn"}
_PICTURES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}


class Problem(Value):
    key: str
    code: ProblemCode
    text: str
    at: AwareDatetime


class Progress(Value):
    """What became of an order. `said`: with what it was submitted and where it was dropped off."""

    offer: OfferState = OfferState.OPEN
    remote: RemoteState | None = None
    revision: int = 0
    changed_at: AwareDatetime
    photos: dict[str, str] = {}
    problems: list[Problem] = []
    said: dict[str, Any] = {}


class TakenOrders:
    """The orders under `folder`. Blocking; may be called from several threads. OSError where the disk does not do it.

    How long an offer may still be answered is counted by a clock that nobody sets, from when it was first seen here.
    `again`: how what was not accepted can be ordered all the same. `told_later`: a person answers elsewhere and tells us afterwards, so
    that an answer counts after its time as well.
    """

    def __init__(self, folder: Path, again: str = AGAIN, *, told_later: bool = False) -> None:
        self._folder = folder
        self._again = again
        self._answerable = {OfferState.OPEN, OfferState.EXPIRED} if told_later else {OfferState.OPEN}
        self._open: dict[str, float] = {}
        self._changing = threading.RLock()

    def load(self) -> None:
        """Find the offers that were open when the agent stopped."""
        for folder in self._folder.glob("*-*"):
            if re.fullmatch(_ID, folder.name):
                self._load(folder.name)

    def _load(self, offer_id: str) -> None:
        try:
            if self._progress(offer_id).offer is OfferState.OPEN:
                self.add(self._written(offer_id))
        except (Refused, NeedsOperator) as error:
            log.warning("hot_folder_order_unreadable", offer=offer_id, why=error.told())

    def add(self, offer: Offer) -> None:
        """An offer that is open from now on."""
        left_s = (offer.accept_by - datetime.now(UTC)).total_seconds()
        self._open[offer.offer_id] = time.monotonic() + min(left_s, offer.accept_within_s)

    def open_offers(self) -> list[Offer]:
        """Those that wait for an answer, oldest first. Those that waited too long are told so."""
        with self._changing:
            offers = [offer for offer_id in list(self._open) if (offer := self._open_offer(offer_id)) is not None]
        return sorted(offers, key=lambda offer: offer.created_at)

    def _open_offer(self, offer_id: str) -> Offer | None:
        try:
            offer = self.offer(offer_id)
        except (Refused, NeedsOperator) as error:  # a person was at work there; the other offers are as good as before
            self._open.pop(offer_id, None)
            log.warning("hot_folder_order_unreadable", offer=offer_id, why=error.told())
            return None
        if offer.state is OfferState.EXPIRED:
            self._expire(offer)
        return offer if offer.state is OfferState.OPEN else None

    def _expire(self, offer: Offer) -> None:
        self._tell(offer.offer_id, "EXPIRED.txt", f"Nobody accepted this order until {_local(offer.accept_by)}.\n{self._again}")
        self._change(offer.offer_id, lambda now: now.model_copy(update={"offer": OfferState.EXPIRED}))
        self._open.pop(offer.offer_id, None)

    def offer(self, offer_id: str) -> Offer:
        """As it stands now."""
        offer, state = self._written(offer_id), self._progress(offer_id).offer
        left_s = max(0.0, self._open.get(offer_id, 0.0) - time.monotonic())
        if state is OfferState.OPEN and left_s == 0.0:
            state = OfferState.EXPIRED
        return offer.model_copy(update={"state": state, "accept_within_s": left_s if state is OfferState.OPEN else 0.0})

    # --- answering --------------------------------------------------------------------------------------------------

    def accept(self, offer_id: str) -> RemoteOrder:
        with self._changing:
            offer = self.offer(offer_id)
            if offer.state is OfferState.ACCEPTED:
                return self.order(offer_id)
            if offer.state not in self._answerable:
                raise Refused(f"Offer {offer_id} is {offer.state}.", code=_CODES[offer.state])
            if gone := [name for name in self._models(offer_id) if not (self._folder / offer_id / name).is_file()]:
                raise Refused(f"Offer {offer_id}: {', '.join(gone)} was moved away.", hint="Drop it again.", code="withdrawn")
            self._change(offer_id, lambda now: now.model_copy(update={"offer": OfferState.ACCEPTED, "remote": RemoteState.ACCEPTED}))
            self._open.pop(offer_id, None)
            (self._folder / offer_id / "EXPIRED.txt").unlink(missing_ok=True)
            return self.order(offer_id)

    def decline(self, offer_id: str, reason: DeclineReason, text: str) -> None:
        with self._changing:
            offer = self.offer(offer_id)
            if offer.state is OfferState.DECLINED:
                return
            if offer.state not in self._answerable:
                raise Refused(f"Offer {offer_id} is {offer.state}.", code=_CODES[offer.state])
            self._tell(offer_id, "DECLINED.txt", f"This order was declined ({reason.value.replace('_', ' ')}): {text}\n{self._again}")
            self._change(offer_id, lambda now: now.model_copy(update={"offer": OfferState.DECLINED}))
            self._open.pop(offer_id, None)

    # --- an accepted order ------------------------------------------------------------------------------------------

    def order_of(self, offer_id: str) -> RemoteOrder | None:
        try:
            return self.order(offer_id)
        except Refused:
            return None

    def order(self, order_id: str) -> RemoteOrder:
        offer, now = self._written(order_id), self._progress(order_id)
        if now.remote is None:
            raise Refused(f"Order {order_id} was not accepted.", code="not_found")
        return RemoteOrder(
            order_id=order_id,
            offer_id=order_id,
            state=now.remote,
            revision=now.revision,
            updated_at=now.changed_at,
            ship_by=offer.ship_by,
            payout=offer.payout,
            items=offer.items,
            files=offer.files,
            add_ons=offer.add_ons,
            special_instructions=offer.special_instructions,
            attestations_required=[NO_FLAWS],
        )

    def copy(self, offer_id: str, file_id: str, into: Path, limit_bytes: int) -> None:
        """A model into a file. What comes out is checked by its sha256 where it is stored."""
        offer = self._written(offer_id)
        names = dict(zip((file.file_id for file in offer.files), self._models(offer_id), strict=True))
        if file_id not in names:
            raise Refused(f"Order {offer_id} has no file {file_id}.", code="not_found")
        source = self._folder / offer_id / names[file_id]
        if not source.is_file():
            raise Refused(f"{source} is gone.", hint="Put it back there, or drop it into the folder as a new order.", code="file_missing")
        _copy(source, into, limit_bytes)

    def start(self, order_id: str) -> RemoteOrder:
        return self._advance(order_id, frozenset({RemoteState.ACCEPTED}), RemoteState.STARTED)

    def put_photo(self, order_id: str, photo_id: str, photo: Path) -> None:
        """Kept under photos/ in the order's folder."""
        self.order(order_id)
        content = photo.read_bytes()
        ending = next((ending for magic, ending in _PICTURES.items() if content.startswith(magic)), ".webp")
        name = f"{_safe(photo_id)}{ending}"
        folder = self._folder / order_id / "photos"
        folder.mkdir(exist_ok=True)
        write_durably(folder / name, content)
        self._change(order_id, lambda now: now.model_copy(update={"photos": now.photos | {photo_id: name}}))

    def submit(
        self, order_id: str, photo_ids: Sequence[str], agreements: Sequence[Agreement], customer_note: str, internal_note: str
    ) -> RemoteOrder:
        with self._changing:
            if self.order(order_id).state not in _HANDED_IN:
                self._check_submission(order_id, photo_ids, agreements)
            said = {
                "photo_ids": list(photo_ids),
                "agreements": [agreement.model_dump(mode="json") for agreement in agreements],
                "customer_note": customer_note,
                "internal_note": internal_note,
            }
            return self._advance(order_id, frozenset(RemoteState) - _HANDED_IN, RemoteState.SUBMITTED, said)

    def _check_submission(self, order_id: str, photo_ids: Sequence[str], agreements: Sequence[Agreement]) -> None:
        known = self._progress(order_id).photos
        if not photo_ids or any(photo_id not in known for photo_id in photo_ids):
            raise Refused(f"Order {order_id}: a photo that is submitted was never put.", code="unknown_photo")
        agreed = {(agreement.code, agreement.text_sha256) for agreement in agreements}
        if (NO_FLAWS.code, hashlib.sha256(NO_FLAWS.text.encode()).hexdigest()) not in agreed:
            raise Refused(f"Order {order_id}: nobody agreed to “{NO_FLAWS.text}”", code="attestation_missing")

    def delivered(self, order_id: str, dropped_off_at: datetime, place: str) -> RemoteOrder:
        state = self.order(order_id).state
        if state not in _HANDED_IN:
            raise Refused(f"Order {order_id} is {state}; only one that was submitted is delivered.", code="wrong_state")
        said = {"dropped_off_at": dropped_off_at.isoformat(), "place": place}
        if state is not RemoteState.DELIVERED:
            where = f", {place}" if place else ""
            self._tell(order_id, "DONE.txt", f"This order was made and handed over: {_local(dropped_off_at)}{where}.")
        return self._advance(order_id, frozenset({RemoteState.SUBMITTED}), RemoteState.DELIVERED, said)

    def report_problem(self, order_id: str, problem: ProblemCode, text: str, key: str) -> None:
        """What was handed in stays so; its problem is told all the same."""
        with self._changing:
            state, now = self.order(order_id).state, self._progress(order_id)
            if any(known.key == key for known in now.problems):
                return
            problems = [*now.problems, Problem(key=key, code=problem, text=text, at=datetime.now(UTC))]
            told = "\n".join(f"{_local(known.at)}  {known.code.value.replace('_', ' ')}: {known.text}" for known in problems)
            self._tell(order_id, "PROBLEM.txt", f"There is a problem with this order.\n{told}")
            to = state if state in _HANDED_IN else RemoteState.PROBLEM
            self._change(order_id, lambda now: now.model_copy(update={"problems": problems, "remote": to}))

    # --- on disk ----------------------------------------------------------------------------------------------------

    def _advance(self, order_id: str, since: frozenset[RemoteState], to: RemoteState, said: dict[str, Any] | None = None) -> RemoteOrder:
        """From one of the states `since`; from any other it was done before."""
        with self._changing:
            if self.order(order_id).state in since:
                self._change(order_id, lambda now: now.model_copy(update={"remote": to, "said": now.said | (said or {})}))
            return self.order(order_id)

    def _change(self, order_id: str, step: Callable[[Progress], Progress]) -> None:
        with self._changing:
            now = self._progress(order_id)
            later = step(now).model_copy(update={"revision": now.revision + 1, "changed_at": datetime.now(UTC)})
            write_durably(self._folder / order_id / _STATE, later.model_dump_json(indent=1).encode())

    def _progress(self, order_id: str) -> Progress:
        """None written: it is open."""
        path = self._folder / order_id / _STATE
        try:
            return Progress.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Progress(changed_at=self._written(order_id).created_at)
        except ValidationError as error:
            raise _unreadable(path) from error

    def _written(self, offer_id: str) -> Offer:
        """The offer as it was taken. Refused where there is none of that id."""
        folder = self._folder / offer_id
        if not re.fullmatch(_ID, offer_id) or not (folder / JOURNAL).is_file():
            raise Refused(f"There is no order {offer_id[:40]} in {self._folder}.", code="not_found")
        journal = read_journal(folder)
        if journal is None or journal.offer is None:
            raise _unreadable(folder / JOURNAL)
        return journal.offer

    def _models(self, offer_id: str) -> list[str]:
        journal = read_journal(self._folder / offer_id)
        return journal.models if journal else []

    def _tell(self, offer_id: str, name: str, text: str) -> None:
        """Before the state is written: told twice is better than never."""
        write_durably(self._folder / offer_id / name, f"{text}\n".encode())


def _unreadable(path: Path) -> NeedsOperator:
    return NeedsOperator(f"{path} cannot be read: somebody, or a bad disk, changed it.", hint="Put it back from a backup.")


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _safe(photo_id: str) -> str:
    """Part of a file's name, and no way out of its folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", photo_id):
        raise Refused(f"{photo_id[:40]!r} is no id for a photo.", code="not_found")
    return photo_id


def _copy(source: Path, into: Path, limit_bytes: int) -> None:
    got = 0
    with source.open("rb") as file, into.open("wb") as copy:
        while chunk := file.read(_CHUNK):
            got += len(chunk)
            if got > limit_bytes:
                raise Refused(
                    f"{source.name} is larger than {limit_bytes / 1e6:.0f} MB.",
                    hint="Raise [files] max_file_mb if the machine can bear it.",
                    code="file_too_large",
                )
            copy.write(chunk)
