"""One complete object for each device, published as it is: every key always there, every value one of its class, nothing known is null."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from agent.domain.job import Job, JobState
from agent.domain.overview import Overview
from agent.domain.printer import BedState, LoadedMaterial, PrinterFacts, PrinterObservation, PrinterState, Temperatures
from agent.domain.question import Step
from agent.domain.values import one_line
from agent.ports.ledger import Bed

State = Mapping[str, Any]
LONGEST_TEXT = 250
"""Characters; Home Assistant takes no state longer than 255."""
_LONGEST_S = 60 * 86_400
_ETA_MOVES_S = 90
"""An estimate that moves by less is no news."""
_COARSE_S = 30
_STOPS_WORK = (Step.HOLD,)


@dataclass(frozen=True)
class Account:
    """How the operator stands with the marketplaces. None: not known, or there is nothing of the kind.

    `earned`: by currency, since `since`.
    """

    connected: bool | None = None
    accepting: bool | None = None
    auto_accept: bool | None = None
    earned: Mapping[str, Decimal] = field(default_factory=dict)
    since: datetime | None = None


@dataclass(frozen=True)
class PrinterLook:
    """What is known of one printer now. `before`: its state as it was sent last."""

    facts: PrinterFacts
    seen: PrinterObservation
    job: Job | None = None
    bed: Bed | None = None
    warmth: Temperatures | None = None
    before: State = field(default_factory=dict)


def agent_state(overview: Overview, looks: Sequence[PrinterLook], account: Account) -> State:
    """Of the agent's device. The offer is the first that ends; `attention`: something stands still until a person decides."""
    waits = {f"waiting_{step.name.lower()}": overview.waits.get(step, 0) for step in Step}
    attention = any(overview.waits.get(step) for step in _STOPS_WORK) or any(_needs_hands(look) for look in looks)
    offer = overview.offers[0] if overview.offers else None
    return {
        "status": _status(overview, looks, attention=attention),
        "waiting": sum(waits.values()),
        **waits,
        "offers": [waiting.order_id for waiting in overview.offers],
        "offer": offer.order_id if offer else None,
        "offer_payout": str(offer.payout) if offer else None,
        "offer_until": instant(offer.accept_by) if offer else None,
        "open_orders": overview.open_orders,
        "to_print": overview.to_print,
        "deadline": instant(overview.deadline),
        "attention": on_off(attention),
        "connected": on_off(account.connected),
        "accepting": on_off(account.accepting),
        "auto_accept": on_off(account.auto_accept),
        **{f"earnings_{currency.lower()}": float(amount) for currency, amount in account.earned.items()},
        "earnings_since": instant(account.since),
    }


def printer_state(look: PrinterLook, now: datetime) -> State:
    """Of a printer's device. Progress and times only of what prints, ours or not."""
    seen, warmth = look.seen, look.warmth or Temperatures()
    left_s = min(seen.seconds_left, _LONGEST_S) if seen.busy and seen.seconds_left is not None and seen.seconds_left >= 0 else None
    return {
        "state": seen.state.value,
        "order": look.job.order_id if look.job else None,
        "job": _text(look.job.remote_name if look.job else seen.remote_name),
        "progress": round(min(1.0, max(0.0, seen.progress)) * 100, 1) if seen.busy else None,
        "remaining": None if left_s is None else round(left_s / _COARSE_S) * _COARSE_S,
        "eta": None if left_s is None else _eta(now + timedelta(seconds=left_s), look.before),
        "layer": seen.layer if seen.busy else None,
        "layers": seen.layers if seen.busy else None,
        "nozzle": _degrees(warmth.nozzle_c),
        "nozzle_target": _degrees(warmth.nozzle_target_c),
        "bed": _degrees(warmth.bed_c),
        "bed_target": _degrees(warmth.bed_target_c),
        "bed_state": (look.bed.state if look.bed else BedState.UNKNOWN).value,
        "must_be_cleared": on_off(must_be_cleared(look)),
        "filament": _left_g(look.facts.materials),
        "materials": [_spool(spool) for spool in look.facts.materials],
        "attention": on_off(_needs_hands(look)),
        "reason": _text(seen.reason),
    }


def update_state(running: str, on_disk: str) -> State:
    """A version that was installed beside the running one waits for a restart. Nobody on the network is asked."""
    return {"installed_version": running, "latest_version": on_disk, "title": "intagly-agent"}


def must_be_cleared(look: PrinterLook) -> bool:
    """Somebody has to look at the bed before anything can be printed there. Not while it prints."""
    free = look.bed is not None and look.bed.state is BedState.FREE
    at_work = look.job is not None and look.job.state in (JobState.STARTING, JobState.PRINTING)
    return not (free or at_work or look.seen.busy)


def encoded(state: State) -> bytes:
    return json.dumps(state, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def instant(at: datetime | None) -> str | None:
    """ISO 8601 with its zone, always UTC; Home Assistant takes none without."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def on_off(value: bool | None) -> str | None:
    return None if value is None else "ON" if value else "OFF"


def _status(overview: Overview, looks: Sequence[PrinterLook], *, attention: bool) -> str:
    if attention:
        return "attention"
    if overview.to_print or any(look.job is not None and look.seen.busy for look in looks):
        return "working"
    return "waiting" if any(overview.waits.values()) else "idle"


def _needs_hands(look: PrinterLook) -> bool:
    """With work of ours that stands still."""
    return look.seen.needs_attention or (look.job is not None and look.seen.state is PrinterState.PAUSED)


def _eta(at: datetime, before: State) -> str | None:
    told = before.get("eta")
    if told is not None and abs((datetime.fromisoformat(told) - at).total_seconds()) < _ETA_MOVES_S:
        return str(told)
    return instant(at)


def _degrees(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _left_g(spools: Sequence[LoadedMaterial]) -> float | None:
    """Of all spools that are tracked."""
    tracked = [spool.remaining_g for spool in spools if spool.remaining_g is not None]
    return round(sum(tracked), 1) if tracked else None


def _spool(spool: LoadedMaterial) -> dict[str, Any]:
    return {"material": spool.material, "color": spool.color.name, "left_g": spool.remaining_g}


def _text(text: str) -> str | None:
    """Untrusted words, fit for one line."""
    return one_line(text)[:LONGEST_TEXT] or None
