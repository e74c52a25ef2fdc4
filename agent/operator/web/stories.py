"""Orders, offers and printers as they are told: to the pages and to scripts alike."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from agent.domain.errors import Refused
from agent.domain.events import Event, first_broken
from agent.domain.job import Job, JobState
from agent.domain.order import ENDED, Dossier, Order, State
from agent.domain.printer import BedState, PrinterObservation, PrinterState
from agent.domain.question import Step
from agent.domain.retention import removed_in
from agent.operator.answers import bed_mark, job_on
from agent.operator.desk import Desk
from agent.operator.pictures import PrinterPictures, Seen
from agent.operator.web.tasks import Choice, Task, Told, file_name, task_of
from agent.ports.ledger import Ledger

OFFER_STATES = (State.OFFERED, State.DECLINED, State.EXPIRED, State.LOST)
_OPEN = [state for state in State if state not in (*OFFER_STATES, *ENDED)]
_OVER = [state for state in ENDED if state not in OFFER_STATES]
_LATEST = 100
"""Of what has ended."""
MOST_OPEN = 200
"""Open orders and offers in a list: each is read whole, and takes the daemon's time."""


class ItemStory(Told):
    """What was ordered of one model."""

    quantity: int
    name: str
    material: str
    color: str
    color_hex: str | None
    infill_percent: int
    supports: str
    layer_height_mm: float | None
    picture: str


class OrderBrief(Told):
    """An order in a list. `waits_for`: the steps it asks a person for."""

    id: str
    marketplace: str
    offer_id: str
    state: str
    items: list[ItemStory]
    payout: str
    ship_by: datetime | None
    waits_for: list[str]
    updated_at: datetime


class OrderStory(Told):
    """All of it. `history_intact`: the events' chain of hashes holds. `files`: sha256 of what may be fetched -> what it is.
    `removed`: of them, those that the rules for old files took, with when and why."""

    order: OrderBrief
    dossier: Dossier
    tasks: list[Task]
    jobs: list[Job]
    events: list[Event]
    history_intact: bool
    files: dict[str, str]
    removed: dict[str, str]


class OfferStory(Told):
    """An offer. `seconds_left`: to answer in; 0 where it has ended. `question_id` None: nobody is asked about it."""

    id: str
    marketplace: str
    offer_id: str
    state: str
    items: list[ItemStory]
    payout: str
    seconds_left: int
    accept_by: datetime
    customer_says: str
    why: str
    advice: list[str]
    question_id: int | None
    choices: list[Choice]


class CameraStory(Told):
    """What is to be seen of a printer. `camera` None: it was not asked yet; it is when somebody looks. `picture_at`: when its last picture
    was taken. `trouble`: why there is no newer one. `width`, `height`: of the small one, in pixels.

    `drawing`: sha256 of a picture of the model that is printed, a file of the order; `model`: its name.
    """

    camera: bool | None = None
    picture_at: datetime | None = None
    width: int = 0
    height: int = 0
    trouble: str = ""
    drawing: str = ""
    model: str = ""


class PrinterStory(Told):
    """A printer as it was seen last. `can`: what may be asked of it now, for the print that is ours. `bed_mark` as in Task."""

    name: str
    kind: str
    state: str
    needs_attention: bool
    progress: float
    seconds_left: int | None
    reason: str
    bed: str
    bed_said_by: str
    bed_since: datetime | None
    bed_mark: str
    job: str
    order_id: str
    materials: list[str]
    can: list[str]
    looks: CameraStory


def order_of(ledger: Ledger, order_id: str) -> Order:
    """Refused where there is none."""
    try:
        return ledger.order(order_id)
    except KeyError as error:
        raise Refused(f"There is no order {order_id}.", hint="The list of orders has them all.", code="no_such_order") from error


def orders(ledger: Ledger, *, ended: bool) -> list[OrderBrief]:
    """Accepted ones: the open that are the oldest, or the latest that have ended."""
    waiting = _waiting(ledger)
    found = ledger.some_orders(_OVER, _LATEST, newest_first=True) if ended else ledger.some_orders(_OPEN, MOST_OPEN)
    return [_brief(order, waiting.get(order.id, [])) for order in found]


def story(ledger: Ledger, order_id: str) -> OrderStory:
    """Refused where there is no such order."""
    order = order_of(ledger, order_id)
    beds = ledger.beds()
    tasks = [task_of(question, order, beds) for question in ledger.open_questions() if question.order_id == order_id]
    events = ledger.events(order_id)
    return OrderStory(
        order=_brief(order, _waiting(ledger).get(order_id, [])),
        dossier=order.dossier,
        tasks=tasks,
        jobs=list(ledger.jobs(order_id)),
        events=list(events),
        history_intact=first_broken(events) is None,
        files=files_of(order, events),
        removed={sha256: removed.told() for sha256, removed in removed_in(events).items()},
    )


def files_of(order: Order, events: Sequence[Event]) -> dict[str, str]:
    """sha256 -> what it is, for every file in the store that belongs to this order: nothing else of the store is given out."""
    dossier = order.dossier
    files = {sha256: f"model {file_name(dossier.offer, file_id)}" for file_id, sha256 in dossier.files.items()}
    for plate in dossier.plates:
        files[plate.gcode_sha256] = f"G-code plate {plate.number}"
    for report in dossier.meshes.values():
        files |= {sha256: f"picture {view}" for view, sha256 in report.pictures.items()}
    for event in events:
        files |= {str(event.data[key]): "picture bed" for key in ("sha256", "picture") if event.kind in _PICTURED and event.data.get(key)}
    files |= {sha256: f"picture {photo_id}" for photo_id, sha256 in dossier.photos.items()}
    if dossier.label_sha256:
        files[dossier.label_sha256] = "label"
    return files


_PICTURED = frozenset({"picture_taken", "on_hold"})


def offers(ledger: Ledger, now: datetime) -> list[OfferStory]:
    """Those that wait for an answer, the first to end first; then the latest that were answered or have ended."""
    waiting = sorted(ledger.some_orders([State.OFFERED], MOST_OPEN), key=lambda order: order.accept_by)
    ended = ledger.some_orders([state for state in OFFER_STATES if state is not State.OFFERED], _LATEST, newest_first=True)
    return [_offer(order, ledger, now) for order in (*waiting, *ended)]


def printers(desk: Desk, seen: Mapping[str, PrinterObservation], pictures: PrinterPictures) -> list[PrinterStory]:
    jobs = {name: job_on(desk.ledger, name) for name in desk.printers}
    return [_printer(desk, name, seen[name], jobs[name], pictures.seen(name)) for name in desk.printers]


def _printer(desk: Desk, name: str, seen: PrinterObservation, job: Job | None, camera: Seen) -> PrinterStory:
    bed, facts = desk.ledger.beds().get(name), desk.printers[name].facts
    return PrinterStory(
        name=name,
        kind=facts.kind,
        state=seen.state,
        needs_attention=seen.needs_attention,
        progress=min(1.0, max(0.0, seen.progress)) if seen.busy else 0.0,
        seconds_left=seen.seconds_left if seen.busy else None,
        reason=seen.reason,
        bed=bed.state if bed is not None else BedState.UNKNOWN,
        bed_said_by=bed.said_by if bed is not None else "",
        bed_since=bed.since if bed is not None else None,
        bed_mark=bed_mark(bed),
        job=job.remote_name if job is not None else "",
        order_id=job.order_id if job is not None else "",
        materials=[f"{spool.material} {spool.color.name}" for spool in facts.materials],
        can=_can(seen, job),
        looks=_camera(camera, desk.ledger.order(job.order_id) if job is not None else None, job),
    )


def _camera(seen: Seen, order: Order | None, job: Job | None) -> CameraStory:
    picture = seen.picture
    model, drawing = _drawn(order, job) if order is not None and job is not None else ("", "")
    return CameraStory(
        camera=seen.camera,
        picture_at=picture.taken_at if picture is not None else None,
        width=picture.width if picture is not None else 0,
        height=picture.height if picture is not None else 0,
        trouble=seen.trouble,
        drawing=drawing,
        model=model,
    )


def _drawn(order: Order, job: Job) -> tuple[str, str]:
    """Name and picture of the first model on that plate that has one."""
    plate = next((plate for plate in order.dossier.plates if plate.number == job.plate), None)
    for item in order.dossier.offer.items:
        report = order.dossier.meshes.get(item.file_id)
        picture = report.pictures.get("isometric", "") if report is not None else ""
        if picture and (plate is None or item.item_id in plate.copies):
            return file_name(order.dossier.offer, item.file_id), picture
    return "", ""


def _can(seen: PrinterObservation, job: Job | None) -> list[str]:
    """Only with what it prints for us."""
    if job is None or not seen.busy or seen.remote_name != job.remote_name or job.state not in (JobState.STARTING, JobState.PRINTING):
        return []
    return ["resume" if seen.state is PrinterState.PAUSED else "pause", "cancel"]


def _brief(order: Order, waits_for: list[str]) -> OrderBrief:
    offer, remote = order.dossier.offer, order.dossier.remote
    return OrderBrief(
        id=order.id,
        marketplace=order.marketplace,
        offer_id=offer.offer_id,
        state=order.state,
        items=_items(order),
        payout=str(offer.payout),
        ship_by=(remote.ship_by if remote is not None else None) or offer.ship_by,
        waits_for=waits_for,
        updated_at=order.updated_at,
    )


def _items(order: Order) -> list[ItemStory]:
    dossier = order.dossier
    return [
        ItemStory(
            quantity=item.quantity,
            name=file_name(dossier.offer, item.file_id),
            material=item.material,
            color=item.color.name,
            color_hex=item.color.hex,
            infill_percent=item.infill_percent,
            supports=item.supports,
            layer_height_mm=item.layer_height_mm,
            picture=report.pictures.get("isometric", "") if (report := dossier.meshes.get(item.file_id)) is not None else "",
        )
        for item in dossier.offer.items
    ]


def _offer(order: Order, ledger: Ledger, now: datetime) -> OfferStory:
    decision = order.dossier.decision
    open_ = order.state is State.OFFERED
    asked = ledger.question(order.id, Step.OFFER) if open_ else None
    waits = asked is not None and asked.answered_at is None
    return OfferStory(
        id=order.id,
        marketplace=order.marketplace,
        offer_id=order.dossier.offer.offer_id,
        state=order.state,
        items=_items(order),
        payout=str(order.dossier.offer.payout),
        seconds_left=max(0, round((order.accept_by - now).total_seconds())) if open_ else 0,
        accept_by=order.accept_by,
        customer_says=order.dossier.offer.special_instructions,
        why=decision.text if decision is not None else "",
        advice=decision.advice if decision is not None else [],
        question_id=asked.id if asked is not None and waits else None,
        choices=[Choice(choice=choice, does=does) for choice, does in asked.choices.items()] if asked is not None and waits else [],
    )


def _waiting(ledger: Ledger) -> dict[str, list[str]]:
    waiting: dict[str, list[str]] = {}
    for question in ledger.open_questions():
        waiting.setdefault(question.order_id, []).append(f"{question.step} {question.printer}".strip())
    return waiting
