"""Which files are no longer kept. Pure: what there is and who refers to it in, what may go out."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from agent.domain.events import Event

REMOVED = "files_removed"
"""The event in the history of every order that a file was of. Its data: `files` (sha256, kind, bytes and why of each), `bytes`."""
LATELY = timedelta(hours=24)
"""Whoever asked for a file, or wrote it, within this time may not have said in the ledger yet what for."""


class Kind(StrEnum):
    """What a file is to an order."""

    GCODE = "G-code"
    MESH = "repaired model"
    PICTURE = "picture of a model"
    MODEL = "model"
    PHOTO = "photo"
    LABEL = "label"
    OTHER = "other"
    """An order mentions it, and we do not know as what: kept."""


REMAKEABLE = frozenset({Kind.GCODE, Kind.MESH, Kind.PICTURE})
"""Made from the customer's models, and made again from them when somebody needs it."""


class Claim(NamedTuple):
    """An order that ended refers to a file. `taken` False: it was only ever an offer."""

    order_id: str
    kind: Kind
    ended_at: datetime
    taken: bool


class Held(NamedTuple):
    """A file of the store. `needed`: an order that has not ended mentions it, or a job at work. `wanted_at`: when it was last asked for, or
    written."""

    sha256: str
    bytes: int
    wanted_at: datetime
    needed: bool
    claims: Sequence[Claim]


class Rule(NamedTuple):
    """Days by kind and for what was only an offer, or of nobody; None: for ever. `most_bytes`: of all files together."""

    days: Mapping[Kind, int | None]
    declined_days: int | None
    most_bytes: int | None


class Removal(NamedTuple):
    """`why` is for people."""

    file: Held
    why: str


def removals(files: Iterable[Held], rule: Rule, now: datetime) -> list[Removal]:
    """What goes, the first first. Never what is needed or was wanted lately; what cannot be made again only after its days."""
    held = list(files)
    free = [file for file in held if not file.needed and now - file.wanted_at >= LATELY]
    old = [Removal(file, why) for file in free if (why := _too_old(file, rule, now))]
    if rule.most_bytes is None:
        return old
    gone = {removal.file.sha256 for removal in old}
    left = sum(file.bytes for file in held if file.sha256 not in gone)
    for file in sorted((file for file in free if file.sha256 not in gone and _remakeable(file)), key=_oldest_and_biggest):
        if left <= rule.most_bytes:
            break
        old.append(Removal(file, f"all files together may take {rule.most_bytes / 1e9:g} GB, and it can be made again"))
        left -= file.bytes
    return old


def _too_old(file: Held, rule: Rule, now: datetime) -> str:
    """Why, where the time of every order that refers to it is over; empty where it is not."""
    if not file.claims:
        over = rule.declined_days is not None and now - file.wanted_at >= timedelta(days=rule.declined_days)
        return f"no order refers to it, and nobody asked for it for {rule.declined_days} days" if over else ""
    days = [(_days(claim, rule), claim) for claim in file.claims]
    if any(kept is None or now - claim.ended_at < timedelta(days=kept) for kept, claim in days):
        return ""
    kept, claim = max(days, key=lambda each: each[1].ended_at)
    return f"{'a file of an offer that was not taken' if not claim.taken else f'a {claim.kind}'} is kept for {kept} days"


def _days(claim: Claim, rule: Rule) -> int | None:
    return rule.days.get(claim.kind) if claim.taken else rule.declined_days


def _remakeable(file: Held) -> bool:
    """Nobody's, such as a slice that was kept for the next order of the same, counts as well."""
    return all(claim.kind in REMAKEABLE for claim in file.claims)


def _oldest_and_biggest(file: Held) -> tuple[datetime, int, str]:
    return max((claim.ended_at for claim in file.claims), default=file.wanted_at), -file.bytes, file.sha256


class Removed(NamedTuple):
    """When and why a file of an order was removed by a rule."""

    at: datetime
    why: str
    kind: str
    bytes: int

    def told(self) -> str:
        return f"Removed on {self.at:%Y-%m-%d} by the rules for old files: {self.why}."


def removed_in(events: Iterable[Event]) -> dict[str, Removed]:
    """By sha256, the files that this order's history says were removed."""
    found: dict[str, Removed] = {}
    for event in events:
        files: Sequence[Mapping[str, Any]] = event.data.get("files", []) if event.kind == REMOVED else []
        for file in files:
            found[file["sha256"]] = Removed(event.at, str(file["why"]), str(file["kind"]), int(file["bytes"]))
    return found
