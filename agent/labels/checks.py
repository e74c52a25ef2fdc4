"""Whether a PDF is this parcel's label. It is read in a process of its own; nothing in it is ever executed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from agent.domain.label import LabelCheck, LabelVerdict
from agent.domain.mesh import Reason
from agent.domain.offer import Shipping
from agent.labels.media import paper_of
from agent.wire.child import Limits
from agent.wire.confined import Died, ask

_log = structlog.get_logger()

LARGEST_LABEL_BYTES = 10_000_000
_LIMITS = Limits(wall_s=30, cpu_s=15, memory_bytes=512 * 2**20, file_bytes=0, line_bytes=200_000)


async def check_label(label: Path, shipping: Shipping | None) -> LabelCheck:
    """`shipping`: what the marketplace said of the parcel; None where it said nothing. Every doubt is in the answer."""
    try:
        with label.open("rb") as file:
            start = file.read(5)
        size = label.stat().st_size
    except OSError as error:
        return _refused("unreadable", f"The label cannot be read: {error.strerror}.")
    if start != b"%PDF-":
        return _refused("not_pdf", "What came as the label is no PDF.")
    if size > LARGEST_LABEL_BYTES:
        return _refused("too_large", f"The label has {size / 1e6:.0f} MB; no label has that.")
    try:
        told = await ask("agent.labels.label_worker", [str(label.absolute())], _LIMITS)
    except Died as died:
        _log.warning("label_check_died", label=str(label), why=str(died))
        return _refused("too_costly", "Reading the label took more time or memory than a label does.")
    return judged(told, shipping)


def judged(told: dict[str, Any], shipping: Shipping | None) -> LabelCheck:
    """From what the child process read."""
    if "broken" in told:
        return _refused("broken", f"The label cannot be read: {told['broken']}.")
    if "encrypted" in told:
        return _refused("encrypted", "The label is encrypted.")
    shipping = shipping or Shipping()
    text = _letters(told["text"])
    reasons = [*_content(told), *_pages(told), *_read_back(text, shipping)]
    return LabelCheck(
        verdict=max((verdict for verdict, _ in reasons), key=list(LabelVerdict).index, default=LabelVerdict.GOOD),
        reasons=[reason for _, reason in reasons],
        pages=told["pages"],
        width_mm=told["width_mm"],
        height_mm=told["height_mm"],
        paper=paper_of(told["width_mm"], told["height_mm"]),
        carrier_found=_found(text, _letters(shipping.carrier)),
        tracking_found=_found(text, _letters(shipping.tracking_number)),
    )


def _refused(code: str, text: str) -> LabelCheck:
    return LabelCheck(verdict=LabelVerdict.REFUSED, reasons=[Reason(code=code, text=f"{text} Fetch it in the marketplace's app.")])


_Doubt = tuple[LabelVerdict, Reason]


def _content(told: dict[str, Any]) -> Iterator[_Doubt]:
    if told["active"]:
        more = ", ".join(told["active"])
        text = f"There is more in it than a page: {more}. It is not printed by the agent; open it only in a viewer you trust."
        yield LabelVerdict.REFUSED, Reason(code="active", text=text)


def _pages(told: dict[str, Any]) -> Iterator[_Doubt]:
    if told["pages"] != 1:
        yield LabelVerdict.LOOK, Reason(code="pages", text=f"It has {told['pages']} pages, and a label has one: look which are needed.")
    if not paper_of(told["width_mm"], told["height_mm"]):
        text = f"Its page of {told['width_mm']:g} × {told['height_mm']:g} mm is none of the usual papers."
        yield LabelVerdict.LOOK, Reason(code="paper", text=text)


def _read_back(text: str, shipping: Shipping) -> Iterator[_Doubt]:
    if not text:
        yield LabelVerdict.LOOK, Reason(code="no_text", text="It is a picture: compare name and tracking number with the order yourself.")
        return
    if not shipping.tracking_number:
        yield LabelVerdict.LOOK, Reason(code="tracking_not_said", text="The marketplace told no tracking number to compare it with.")
    elif not _found(text, _letters(shipping.tracking_number)):
        yield (
            LabelVerdict.LOOK,
            Reason(code="tracking", text=f"The tracking number {shipping.tracking_number} is not on it: is it another parcel's?"),
        )
    if shipping.carrier and not _found(text, _letters(shipping.carrier)):
        # Many a carrier's name is drawn: it is told, and the tracking number decides.
        yield LabelVerdict.GOOD, Reason(code="carrier", text=f"The name of the carrier, {shipping.carrier}, is not in its text.")


def _letters(text: str) -> str:
    """Without what printing puts between them."""
    return re.sub(r"[\W_]+", "", text.casefold())


def _found(text: str, wanted: str) -> bool | None:
    """None where there is nothing to be found, or nothing to find it in."""
    return wanted in text if text and wanted else None
