"""What the ledger and the file store know of one order, as the members of a dossier. The same order gives the same members.

Left out is what changes while nothing happens: when the order is looked at next, how often that was tried.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent.domain.errors import Refused
from agent.domain.events import Event
from agent.domain.job import Job
from agent.domain.order import Order
from agent.domain.retention import Removed
from agent.domain.values import Value
from agent.dossiers.manifest import canonical
from agent.ports.files import FileStore
from agent.ports.ledger import Ledger

_LOOKS = 5
_ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PN": "png", b"RIF": "webp", b"%PD": "pdf"}


class Story(NamedTuple):
    """One order at one moment."""

    order: Order
    events: Sequence[Event]
    jobs: Sequence[Job]


class Attached(Value):
    """A file of the store that goes into the dossier. `name`: the member's; `title`: for people."""

    name: str
    title: str
    sha256: str


def story_of(order_id: str, ledger: Ledger) -> Story:
    """Refused (no_such_order) where there is none. Looked at again where something happened meanwhile."""
    for _ in range(_LOOKS):
        events = ledger.events(order_id)
        try:
            order = ledger.order(order_id)
        except KeyError as error:
            hint = "`intagly-agent orders --all` lists them, `offers` those that were not accepted."
            raise Refused(f"There is no order {order_id}.", hint=hint, code="no_such_order") from error
        story = Story(order, events, ledger.jobs(order_id))
        if len(ledger.events(order_id)) == len(events):
            return story
    raise Refused(f"Order {order_id} does not keep still.", hint="Try again in a moment.", code="order_moves")


def documents(story: Story) -> dict[str, bytes]:
    """The facts, as JSON. Each is one document; what was not reached yet is empty."""
    order = story.order
    dossier = order.dossier
    told: dict[str, Any] = {
        "order.json": {
            "id": order.id,
            "marketplace": order.marketplace,
            "state": order.state,
            "accept_by": order.accept_by.isoformat(),
            "created_at": order.created_at.isoformat(),
            "remote": dossier.remote.model_dump(mode="json") if dossier.remote else None,
            "said": dossier.said,
            "label_sha256": dossier.label_sha256,
        },
        "offer.json": dossier.offer.model_dump(mode="json"),
        "decision.json": dossier.decision.model_dump(mode="json") if dossier.decision else None,
        "files.json": [
            {
                **file.model_dump(mode="json"),
                "fetched_sha256": dossier.files.get(file.file_id),
                "mesh": dossier.meshes[file.file_id].model_dump(mode="json") if file.file_id in dossier.meshes else None,
            }
            for file in dossier.offer.files
        ],
        "plates.json": [plate.model_dump(mode="json") for plate in dossier.plates],
        "jobs.json": [job.model_dump(mode="json", exclude={"version"}) for job in story.jobs],
        "attestations.json": attestations(order),
        "events.json": [event.model_dump(mode="json") | {"at": event.at.isoformat()} for event in story.events],
    }
    return {name: canonical(document) for name, document in told.items()}


def attestations(order: Order) -> list[dict[str, Any]]:
    """Each agreement with the sentence it is about, and whether its hash is that sentence's."""
    remote = order.dossier.remote
    texts = {demanded.code: demanded.text for demanded in remote.attestations_required} if remote else {}
    made: list[dict[str, Any]] = order.dossier.said.get("agreements", [])
    return [
        {
            **agreement,
            "text": texts.get(agreement["code"]),
            "text_has_this_hash": hashlib.sha256(texts.get(agreement["code"], "").encode()).hexdigest() == agreement["text_sha256"],
        }
        for agreement in made
    ]


def attached(order: Order, store: FileStore, *, everything: bool) -> Iterator[Attached]:
    """Pictures of the models, photos, the label. `everything`: the customer's models and the G-code as well."""
    dossier = order.dossier
    for n, file in enumerate(dossier.offer.files, start=1):
        if everything and file.file_id in dossier.files:
            ending = Path(file.name).suffix.lower() if Path(file.name).suffix.lower() in (".stl", ".3mf", ".obj") else ".stl"
            yield Attached(name=f"models/{n}{ending}", title=file.name, sha256=dossier.files[file.file_id])
        report = dossier.meshes.get(file.file_id)
        for view, sha256 in sorted(report.pictures.items()) if report else ():
            yield Attached(name=f"pictures/{n}-{view}.png", title=f"{file.name}, {view}", sha256=sha256)
    for plate in dossier.plates if everything else ():
        yield Attached(name=f"gcode/plate-{plate.number}.gcode", title=f"plate {plate.number}", sha256=plate.gcode_sha256)
    for n, (photo_id, sha256) in enumerate(sorted(dossier.photos.items()), start=1):
        yield Attached(name=f"photos/{n}.{_ending(store, sha256)}", title=photo_id, sha256=sha256)
    if dossier.label_sha256:
        yield Attached(name="label.pdf", title="the carrier's label", sha256=dossier.label_sha256)


def contents(
    files: Sequence[Attached], store: FileStore, removed: Mapping[str, Removed] = {}
) -> tuple[dict[str, bytes], list[dict[str, str]]]:
    """What is in the store as it was put there; and what is not, with the reason. `removed`: what the order's history says was removed."""
    found: dict[str, bytes] = {}
    missing: list[dict[str, str]] = []
    for file in files:
        content = store.path(file.sha256).read_bytes() if store.has(file.sha256) else None
        if content is None:
            why = removed[file.sha256].told() if file.sha256 in removed else "It is not in the file store any more."
            missing.append({"name": file.name, "sha256": file.sha256, "why": why})
        elif hashlib.sha256(content).hexdigest() != file.sha256:
            missing.append({"name": file.name, "sha256": file.sha256, "why": "In the file store there is another content under its hash."})
        else:
            found[file.name] = content
    return found, missing


def _ending(store: FileStore, sha256: str) -> str:
    if not store.has(sha256):
        return "jpg"
    with store.path(sha256).open("rb") as file:
        return _ENDINGS.get(file.read(3), "bin")


def times_of(events: Sequence[Event]) -> Mapping[str, str]:
    """By job what its printer did when, in order; from the events, which are the only ones who keep times."""
    told: dict[str, list[str]] = {}
    for event in events:
        job = event.data.get("job") or event.data.get("remote_name")
        if isinstance(job, str):
            took = f" (planned {event.data['planned_s']} s, took {event.data['took_s']} s)" if "took_s" in event.data else ""
            told.setdefault(job, []).append(f"{event.at:%Y-%m-%d %H:%M:%S} {event.kind}{took}")
    return {job: "\n".join(lines) for job, lines in told.items()}
