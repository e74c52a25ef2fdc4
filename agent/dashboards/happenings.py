"""Events of orders as they are told to a dashboard: what a person would want to hear, in codes that do not change."""

import re
from collections.abc import Mapping
from typing import Any

from agent.domain.events import Event
from agent.domain.question import Step
from agent.domain.values import one_line

_OF_KIND = {
    "offered": "offer_received",
    "accepted": "offer_accepted",
    "declined": "offer_declined",
    "expired": "offer_gone",
    "lost": "offer_gone",
    "print_finished": "print_finished",
    "print_failed": "print_failed",
    "print_cancelled": "print_failed",
    "print_paused": "print_paused",
    "printer_lost": "printer_away",
    "printer_needs_attention": "printer_away",
    "promise_will_break": "deadline_near",
    "reminded": "deadline_near",
    "on_hold": "needs_you",
    "failed": "order_failed",
    "cancelled": "order_failed",
    "closed": "order_done",
}
_OF_STEP = {
    Step.OFFER: "offer_asks",
    Step.BED: "bed_to_clear",
    Step.PHOTOS: "ready_for_photos",
    Step.POST_PROCESSING: "ready_for_hands",
    Step.LABEL: "ready_for_hands",
    Step.PACKED: "ready_for_hands",
    Step.DROPPED_OFF: "ready_for_hands",
}
RUNOUT = "filament_runout"
REFUSED = "command_refused"
TYPES = tuple(dict.fromkeys([*_OF_KIND.values(), *_OF_STEP.values(), RUNOUT, REFUSED]))
"""All there are."""
TRIGGERS = (
    *("offer_received", "offer_asks", "offer_accepted", "offer_declined", "print_finished", "print_failed", "print_paused", RUNOUT),
    *("ready_for_photos", "bed_to_clear", "needs_you", "deadline_near"),
)
"""Those that an automation can begin with by choosing them from a list."""
_RUNOUT_WORDS = re.compile(r"filament|run ?out|ran out", re.IGNORECASE)
_ABOUT = ("printer", "job", "why", "marketplace", "payout", "accept_by", "step", "text", "by", "reason", "late_by_s", "ship_by")
_LONGEST = 500


def happening(event: Event) -> Mapping[str, Any] | None:
    """The payload of an event entity: its type, and whatever of the event a person could use. None: nothing to be told."""
    kind = _type_of(event)
    if kind is None:
        return None
    about = {key: _plain(event.data[key]) for key in _ABOUT if key in event.data}
    return {"event_type": kind, "order": event.order_id, "at": event.at.isoformat(timespec="seconds"), **about}


def refusal(command: str, why: str) -> Mapping[str, Any]:
    """That a command was not done."""
    return {"event_type": REFUSED, "command": _plain(command), "why": _plain(why)}


def _type_of(event: Event) -> str | None:
    if event.kind == "asked":
        return _OF_STEP.get(Step(event.data["step"])) if event.data.get("step") in list(Step) else None
    kind = _OF_KIND.get(event.kind)
    # Only where the printer says why it stopped: OctoPrint, for one, does not.
    return RUNOUT if kind == "print_paused" and _RUNOUT_WORDS.search(str(event.data.get("why", ""))) else kind


def _plain(value: Any) -> Any:
    return (
        one_line(value)[:_LONGEST] if isinstance(value, str) else value if isinstance(value, int | float | bool) else str(value)[:_LONGEST]
    )
