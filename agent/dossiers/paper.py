"""What the readable part of a dossier says, block by block, without a word about how it is set."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.domain.events import first_broken
from agent.domain.offer import Item
from agent.domain.order import Order
from agent.dossiers.story import Attached, Story, attestations, times_of

Block = dict[str, Any]
"""One of {"title"}, {"heading"}, {"text"}, {"facts": [[name, value]]}, {"table": [[cell]]} with its head first,
{"pictures": [[path, caption]]}, {"event": [head, body]}."""


def paper(story: Story, pictures: Mapping[str, str], files: Sequence[Attached], missing: Sequence[Mapping[str, str]]) -> list[Block]:
    """`pictures`: member -> path of those that can be shown."""
    return [
        *_order(story.order),
        *_decision(story.order),
        *_files(story.order),
        *_shown("Pictures of the models", "pictures/", pictures, files),
        *_plates(story.order),
        *_jobs(story),
        *_shown("Photos", "photos/", pictures, files),
        *_agreed(story.order),
        *_parcel(story.order),
        *_missing(missing),
        *_events(story),
    ]


def _order(order: Order) -> Iterator[Block]:
    offer = order.dossier.offer
    yield {"title": f"Order {order.id}"}
    yield {
        "facts": [
            ["State", order.state],
            ["Marketplace", order.marketplace],
            ["Offer", offer.offer_id],
            ["Order there", order.dossier.remote.order_id if order.dossier.remote else "never accepted"],
            ["Offered", f"{order.created_at:%Y-%m-%d %H:%M:%S} UTC, to be answered by {order.accept_by:%Y-%m-%d %H:%M:%S}"],
            ["Ship by", f"{offer.ship_by:%Y-%m-%d %H:%M:%S %Z}" if offer.ship_by else "not said"],
            ["Pays", str(offer.payout)],
            ["Add-ons", ", ".join(add_on.title for add_on in offer.add_ons) or "none"],
            ["Instructions", offer.special_instructions or "none"],
        ]
    }
    yield {"heading": "What was ordered"}
    yield {"table": [["Model", "Copies", "Material", "Colour", "Infill", "Supports"], *[_item(item, order) for item in offer.items]]}


def _item(item: Item, order: Order) -> list[str]:
    name = order.dossier.offer.file(item.file_id).name
    return [name, str(item.quantity), item.material, item.color.name, f"{item.infill_percent} %", item.supports]


def _decision(order: Order) -> Iterator[Block]:
    decision = order.dossier.decision
    yield {"heading": "Decision"}
    if decision is None:
        yield {"text": "None was made."}
        return
    yield {"text": " ".join(filter(None, [f"{decision.answer}.", decision.text, *decision.advice]))}
    if decision.rules:
        rows = [["yes" if rule.ok else "no", rule.rule, rule.printer, rule.value, rule.limit] for rule in decision.rules]
        yield {"table": [["Holds", "Rule", "Printer", "Found", "Limit"], *rows]}
    quotes = [
        [quote.printer, f"{quote.print_seconds} s", f"{quote.filament_g:.1f} g", str(quote.plates), "; ".join(quote.reasons) or "yes"]
        for quote in decision.quotes
    ]
    if quotes:
        yield {"table": [["Quote for", "Time", "Filament", "Plates", "Can be made"], *quotes]}


def _files(order: Order) -> Iterator[Block]:
    yield {"heading": "Files"}
    for file in order.dossier.offer.files:
        report = order.dossier.meshes.get(file.file_id)
        facts = [["File", file.name], ["Bytes", str(file.bytes)], ["Announced sha256", file.sha256]]
        facts.append(["Fetched sha256", order.dossier.files.get(file.file_id, "not fetched")])
        if report is not None:
            size = " × ".join(f"{side:g}" for side in report.bounding_box_mm)
            facts.append(["Verdict", " ".join([f"{report.verdict}.", *(f"{reason.code}: {reason.text}" for reason in report.reasons)])])
            facts.append(["Mesh", f"{size} mm, {report.volume_mm3:.1f} mm³, {report.triangles} triangles, {report.shells} shells"])
            facts.append(["Sliced from sha256", report.canonical_sha256 or "nothing"])
        yield {"facts": facts}


def _plates(order: Order) -> Iterator[Block]:
    yield {"heading": "G-code and its proof"}
    if not order.dossier.plates:
        yield {"text": "Nothing was sliced."}
    for plate in order.dossier.plates:
        settings = plate.settings
        height = f", layers of {settings.layer_height_mm:g} mm" if settings.layer_height_mm else ""
        yield {
            "facts": [
                ["Plate", f"{plate.number}: {', '.join(f'{copies} × {item}' for item, copies in plate.copies.items())}"],
                ["G-code sha256", plate.gcode_sha256],
                ["Slicer", plate.slicer],
                ["Profile", plate.profile],
                [
                    "Settings",
                    f"{settings.material} {settings.color.name}, infill {settings.infill_percent} %, supports {settings.supports}{height}",
                ],
                ["Result", f"{plate.print_seconds} s, {plate.filament_g:.2f} g, {plate.layers} layers, {plate.height_mm:g} mm high"],
                ["Warnings", "; ".join(plate.warnings) or "none"],
            ]
        }
        proof = [["yes" if line.ok else "no", line.check, line.expected, line.found] for line in plate.proof]
        yield {"table": [["Holds", "Check", "Expected", "Found"], *proof]}


def _jobs(story: Story) -> Iterator[Block]:
    yield {"heading": "Prints (times are UTC)"}
    times = times_of(story.events)
    if not story.jobs:
        yield {"text": "Nothing was printed."}
    for job in story.jobs:
        yield {
            "facts": [
                ["Job", f"{job.remote_name}: plate {job.plate}, attempt {job.attempt}, on {job.printer}, {job.state}"],
                ["G-code sha256", job.gcode_sha256],
                ["Times", times.get(job.remote_name, "none")],
            ]
        }


def _shown(heading: str, folder: str, pictures: Mapping[str, str], files: Sequence[Attached]) -> Iterator[Block]:
    of_these = [file for file in files if file.name.startswith(folder)]
    if not of_these:
        return
    yield {"heading": heading}
    yield {"pictures": [[pictures[file.name], f"{file.name}: {file.title}"] for file in of_these if file.name in pictures]}
    yield {"facts": [[file.name, file.sha256] for file in of_these]}


def _agreed(order: Order) -> Iterator[Block]:
    yield {"heading": "What a person agreed to"}
    made = attestations(order)
    if not made:
        yield {"text": "Nothing."}
    for agreement in made:
        holds = "the hash is that of this text" if agreement["text_has_this_hash"] else "THE HASH IS NOT THAT OF THIS TEXT"
        yield {
            "facts": [
                ["Sentence", agreement["text"] or "not known"],
                ["Agreed by", f"{agreement['agreed_by']}, {agreement['agreed_at']}"],
                ["Sha256 of the text", f"{agreement['text_sha256']} ({holds})"],
            ]
        }
    for name, key in (("Note to the customer", "customer_note"), ("Note to the marketplace", "internal_note")):
        if note := str(order.dossier.said.get(key, "")):
            yield {"facts": [[name, note]]}


def _parcel(order: Order) -> Iterator[Block]:
    yield {"heading": "Label and parcel"}
    shipping = order.dossier.remote.shipping if order.dossier.remote else None
    facts = [["Label", f"label.pdf, {order.dossier.label_sha256}" if order.dossier.label_sha256 else "none"]]
    if shipping is not None:
        facts += [["Carrier", shipping.carrier or "not said"], ["Tracking number", shipping.tracking_number or "not said"]]
    yield {"facts": facts}
    yield {"text": "When it was packed, dropped off and told to the marketplace stands in the events below."}


def _missing(missing: Sequence[Mapping[str, str]]) -> Iterator[Block]:
    if missing:
        yield {"heading": "What is missing here"}
        yield {"facts": [[file["name"], f"{file['sha256']}. {file['why']}"] for file in missing]}


def _events(story: Story) -> Iterator[Block]:
    yield {"heading": "Everything that happened, each entry chained to the one before it (times are UTC)"}
    broken = first_broken(story.events)
    if broken is not None:
        yield {"text": f"THE HISTORY WAS CHANGED: event {broken.n} does not follow from the one before it."}
    for event in story.events:
        said = json.dumps(event.data, ensure_ascii=False, sort_keys=True)
        yield {"event": [f"{event.n}  {event.at:%Y-%m-%d %H:%M:%S}  {event.kind}", f"{_short(said)}\n{event.hash}"]}


def _short(text: str) -> str:
    """The whole of it is in events.json."""
    return text if len(text) <= 1500 else f"{text[:1500]}… ({len(text)} characters, see events.json)"
