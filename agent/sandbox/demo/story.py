"""An order's events as sentences, for somebody who watches."""

from collections.abc import Callable, Iterator, Mapping

from agent.domain.events import Event
from agent.domain.order import Order
from agent.domain.plate import SlicedPlate
from agent.domain.print_time import hours

Teller = Callable[[Order, Event], str]


def _offered(order: Order, _event: Event) -> str:
    offer = order.dossier.offer
    items = ", ".join(
        f"{item.quantity} × {offer.file(item.file_id).name} in {item.color.name} {item.material}, {item.infill_percent} % infill, "
        f"supports: {item.supports}"
        for item in offer.items
    )
    return f"the marketplace offers {items}, for {offer.payout}{_asked_by(order)}"


def _decided(order: Order, _event: Event) -> str:
    decision = order.dossier.decision
    if decision is None:
        return "decided"
    told = [f"the agent looked at the model, sliced it, planned it and decided: {decision.answer}"]
    quote = next((quote for quote in decision.quotes if quote.ok), None)
    if quote is not None:
        told.append(f"quote for {quote.printer}: {hours(quote.print_seconds)}, {quote.filament_g:.1f} g, {quote.plates} plate")
    told += [f"plan: {rule.value}; needed: {rule.limit}" for rule in decision.rules if rule.rule == "schedule"]
    if decision.packaging:
        told.append(f"packaging: {decision.packaging}")
    return "; ".join(told)


def _asked_by(order: Order) -> str:
    ship_by = order.dossier.offer.ship_by
    return f", to be shipped by {ship_by.astimezone():%H:%M}" if ship_by else ""


def _declined(_order: Order, event: Event) -> str:
    return f"the offer is declined ({event.data['reason']}): {event.data['text']}"


def _checked(order: Order, _event: Event) -> str:
    report = next(iter(order.dossier.meshes.values()))
    size = "×".join(f"{side:.0f}" for side in report.bounding_box_mm)
    return f"the mesh is checked: {report.verdict}, {report.triangles} triangles, {size} mm, {report.volume_mm3 / 1000:.1f} cm³"


def _sliced(order: Order, _event: Event) -> str:
    plates = order.dossier.plates
    proved = sum(len(plate.proof) for plate in plates)
    return f"{len(plates)} plate, sliced by {plates[0].slicer} for the decision already; {proved} lines of proof hold"


def _job(text: str) -> Teller:
    return lambda _order, event: text.format(**{"job": event.data.get("job", ""), "printer": event.data.get("printer", ""), **event.data})


def _text(text: str) -> Teller:
    return lambda _order, _event: text


STORY: Mapping[str, Teller] = {
    "offered": _offered,
    "decided": _decided,
    "accepted": _text("the offer is accepted, well inside its fifteen minutes"),
    "declined": _declined,
    "fetched": _text("every file is stored by its sha256"),
    "checked": _checked,
    "sliced": _sliced,
    "job_claimed": _job("{printer} is claimed; the printer will know the file as {remote_name}"),
    "uploaded": _job("the G-code is uploaded to {printer}; nothing is started yet"),
    "start_intended": _job("written down before it is done: start {job}"),
    "printing": _job("{printer} itself names {job} as its job: it prints"),
    "print_finished": _job("{printer} has finished; the part is still on the bed"),
    "harvested": _job("the bed is clear, said by: {by}"),
    "printed": _text("every plate is printed and off the bed: ready for photos"),
    "photos_taken": _text("photos are there and a person agreed to the marketplace's sentences"),
    "submitted": _text("the marketplace took photos and agreement"),
    "label_fetched": _text("the carrier's label is here"),
    "label_printed": _text("the label is printed"),
    "packed": _text("the parcel is packed"),
    "dropped_off": _text("the carrier has the parcel"),
    "delivered": _text("the marketplace knows: delivered"),
    "on_hold": _job("on hold: {reason}"),
}


def summary(order: Order) -> Iterator[str]:
    """What was decided, sliced, proved and printed."""
    yield from why(order)
    for plate in order.dossier.plates:
        yield from _plate(plate)


def why(order: Order) -> Iterator[str]:
    """The decision, rule by rule."""
    decision = order.dossier.decision
    if decision is None:
        return
    yield f"{order.id}, decided: {decision.answer}, by {len(decision.rules)} rules:"
    for rule in decision.rules:
        mark = "✓" if rule.ok else "✗"
        yield f"  {mark} {rule.printer + ': ' if rule.printer else ''}{rule.rule}: {rule.value} (limit: {rule.limit})"


def _plate(plate: SlicedPlate) -> Iterator[str]:
    minutes = plate.print_seconds / 60
    yield f"Sliced: plate {plate.number}, {plate.layers} layers, {minutes:.0f} min on a real printer, {plate.filament_g:.1f} g. Proved:"
    for line in plate.proof:
        yield f"  {'✓' if line.ok else '✗'} {line.check}: {line.found} (ordered: {line.expected})"
