"""Whether a dossier is what it was, found by its bytes alone; and whether it is what the ledger says, where that is at hand.

Alone, it finds every byte that was changed since it was sealed, and a history that does not hold together. It cannot tell a file that
somebody wrote anew as a whole, seal and all. That takes the ledger, or the seal as it was noted when the file was made.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agent.domain.errors import Refused
from agent.domain.events import Event, first_broken
from agent.domain.values import Value
from agent.dossiers.archive import LARGEST_BYTES, Damaged, read
from agent.dossiers.manifest import MANIFEST, SEAL, Manifest, parsed, read_manifest, sha256
from agent.dossiers.story import documents, story_of
from agent.ports.ledger import Ledger

_EVENTS = TypeAdapter(list[Event])
_DECIDED_BY_LEDGER = ("order.json", "offer.json", "decision.json", "files.json", "plates.json", "jobs.json", "attestations.json")


class Finding(Value):
    """What does not hold, and in which member; empty where it is the file as a whole."""

    member: str = ""
    text: str


class Verified(Value):
    """`ok`: nothing was found. `compared_with_ledger`: the ledger's own history of that order says the same, up to this dossier's end;
    `ledger_goes_on`: and something happened to the order since then, so that only the events could be compared."""

    ok: bool
    order_id: str = ""
    seal: str = ""
    events: int = 0
    members: int = 0
    compared_with_ledger: bool = False
    ledger_goes_on: bool = False
    findings: list[Finding] = []


def verify(dossier: Path, ledger: Ledger | None = None, seal: str = "") -> Verified:
    """Refused (no_file) where it cannot be read; every other doubt is a finding. `seal`: as `export` told it."""
    return verified(_bytes(dossier), ledger, seal)


def verified(archive: bytes, ledger: Ledger | None = None, seal: str = "") -> Verified:
    """`verify`, of the file's content."""
    try:
        members = read(archive)
        manifest = read_manifest(members)
        events = _events(members)
    except Damaged as damaged:
        return Verified(ok=False, findings=[Finding(text=str(damaged))])
    found = [*_against_manifest(members, manifest), *_history(events, manifest)]
    sealed = sha256(members[MANIFEST])
    if seal and seal != sealed:
        found.append(Finding(member=SEAL, text=f"It is sealed with {sealed}, not with {seal}."))
    goes_on = False
    if ledger is not None:
        told, goes_on = _against_ledger(members, manifest, events, ledger)
        found += told
    return Verified(
        ok=not found,
        order_id=manifest.order_id,
        seal=sealed,
        events=len(events),
        members=len(members),
        compared_with_ledger=ledger is not None,
        ledger_goes_on=goes_on,
        findings=found,
    )


def _bytes(dossier: Path) -> bytes:
    try:
        if not dossier.is_file():
            raise Refused(f"{dossier} is no file.", hint="Give the file that `export` wrote.", code="no_file")
        if dossier.stat().st_size > LARGEST_BYTES:
            return b""
        return dossier.read_bytes()
    except OSError as error:
        raise Refused(f"{dossier} cannot be read: {error.strerror}.", hint="Give the file that `export` wrote.", code="no_file") from error


def _events(members: Mapping[str, bytes]) -> list[Event]:
    try:
        return _EVENTS.validate_python(parsed(members.get("events.json", b""), "events.json"))
    except ValidationError as error:
        raise Damaged("events.json is no list of events.") from error


def _against_manifest(members: Mapping[str, bytes], manifest: Manifest) -> Iterator[Finding]:
    listed = {member.name: member for member in manifest.members}
    if list(members) != [*listed, MANIFEST, SEAL]:
        for name in sorted(set(members) ^ {*listed, MANIFEST, SEAL}):
            yield Finding(member=name, text="It is listed and not there." if name in listed else "It is there and not listed.")
        if set(members) == {*listed, MANIFEST, SEAL}:
            yield Finding(text="The members are not in the order of the manifest.")
    for name, member in listed.items():
        if name in members and sha256(members[name]) != member.sha256:
            yield Finding(member=name, text="It was changed: its sha256 is not the one in the manifest.")


def _history(events: Sequence[Event], manifest: Manifest) -> Iterator[Finding]:
    if not events:
        yield Finding(member="events.json", text="There are no events.")
        return
    broken = first_broken(events)
    if broken is not None:
        yield Finding(member="events.json", text=f"The history was changed: event {broken.n} does not follow from the one before it.")
    if any(event.order_id != manifest.order_id for event in events):
        yield Finding(member="events.json", text="There are events of another order.")
    if any(later.at < earlier.at for earlier, later in pairwise(events)):
        yield Finding(member="events.json", text="The events' times go backwards.")
    if (events[-1].n, events[-1].hash) != (manifest.last_event.n, manifest.last_event.hash):
        yield Finding(member=MANIFEST, text="The last event is not the one that the manifest names.")


def _against_ledger(
    members: Mapping[str, bytes], manifest: Manifest, events: Sequence[Event], ledger: Ledger
) -> tuple[list[Finding], bool]:
    """What the ledger says otherwise, and whether it has gone on since."""
    try:
        story = story_of(manifest.order_id, ledger)
    except Refused as refused:
        return [Finding(text=f"This ledger does not know the order: {refused}")], False
    known = story.events
    if first_broken(known) is not None:
        return [Finding(text="The ledger's own history of this order was changed; nothing can be held against it.")], False
    if len(known) < len(events) or [event.hash for event in known[: len(events)]] != [event.hash for event in events]:
        return [Finding(member="events.json", text="The ledger tells another history of this order.")], False
    if len(known) > len(events):
        return [], True
    told: dict[str, Any] = documents(story)
    differing = [name for name in _DECIDED_BY_LEDGER if members.get(name) != told[name]]
    return [Finding(member=name, text="The ledger says otherwise.") for name in differing], False
