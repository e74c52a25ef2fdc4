"""What the agent does, as families of metrics. Labels name printers, marketplaces, slicers and words of the agent's own; never a customer,
an order or a file: each name is one of few, for as long as it lives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.domain.figures import History, Standing
from agent.domain.measures import Measures, Spread
from agent.domain.offer import DeclineReason
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterObservation, PrinterState, Temperatures
from agent.domain.question import Step
from agent.operator.metrics.exposition import Family, Sample, each, one, spread
from agent.ports.ledger import Bed

_ANSWERS = {"accepted": "accepted", "declined": "declined", "expired": "expired", "lost": "lost", "decline_not_needed": "gone"}
_RESULTS = ("finished", "failed", "cancelled")


@dataclass(frozen=True)
class PrinterFigures:
    """What is known of one printer now. `seen` None: nobody has looked yet."""

    seen: PrinterObservation | None
    bed: Bed | None
    warmth: Temperatures


def order_families(history: History, now: Standing) -> Iterator[Family]:
    yield Family("intagly_offers_received_total", "counter", "Offers that ever came in.", each("marketplace", dict(now.offers)))
    answers = {answer: float(history.kinds[kind]) for kind, answer in _ANSWERS.items()}
    yield Family(
        "intagly_offers_answered_total", "counter", "What became of offers; expired: nobody answered in time.", each("answer", answers)
    )
    reasons = {reason.value: float(history.declined[reason.value]) for reason in DeclineReason}
    yield Family("intagly_offers_declined_total", "counter", "Offers declined, by the reason that was told.", each("reason", reasons))
    yield Family("intagly_decision_seconds", "histogram", "From an offer's coming in to its decision.", list(spread(history.decisions)))
    until = [] if now.offer_until is None else one(now.offer_until.timestamp())
    yield Family("intagly_offer_deadline_timestamp_seconds", "gauge", "When the first of the open offers must be answered.", until)
    states = {state.value: float(now.states.get(state, 0)) for state in State}
    yield Family("intagly_orders", "gauge", "Orders and offers in each state, the ended ones included.", each("state", states))
    waits = {step.value: float(now.waits.get(step, 0)) for step in Step}
    yield Family("intagly_questions_waiting", "gauge", "What waits for a person, by what it is.", each("step", waits))
    kinds = {kind: float(count) for kind, count in sorted(history.kinds.items())}
    yield Family("intagly_order_events_total", "counter", "Events in the orders' histories, see docs/events.md.", each("kind", kinds))
    calls = {outcome: float(count) for outcome, count in now.calls.items()}
    yield Family("intagly_notice_calls", "gauge", "Calls of people, by how the latest about each notice ended.", each("outcome", calls))


def print_families(history: History, now: Standing) -> Iterator[Family]:
    printers = sorted({printer for printer, _ in history.prints})
    ended = [Sample({"printer": printer, "result": result}, history.prints[printer, result]) for printer in printers for result in _RESULTS]
    yield Family("intagly_prints_total", "counter", "Prints that ended.", ended)
    times = [
        sample
        for printer, each_ in now.print_seconds.items()
        for sample in (Sample({"printer": printer}, each_.seconds, "_sum"), Sample({"printer": printer}, each_.prints, "_count"))
    ]
    yield Family("intagly_print_seconds", "summary", "Time of prints that were watched from their start to a good end.", times)
    yield Family("intagly_filament_grams_total", "counter", "Filament used, by how the print ended.", each("why", dict(now.filament_g)))


def printer_families(printers: Mapping[str, PrinterFigures]) -> Iterator[Family]:
    seen = {name: figures.seen for name, figures in printers.items() if figures.seen is not None}
    up = {name: float(look.state is not PrinterState.OFFLINE) for name, look in seen.items()}
    yield Family("intagly_printer_up", "gauge", "1: it can be reached.", each("printer", up))
    states = [
        Sample({"printer": name, "state": state.value}, float(look.state is state)) for name, look in seen.items() for state in PrinterState
    ]
    yield Family("intagly_printer_state", "gauge", "1 for the state it is in, 0 for all others.", states)
    attention = {name: float(look.needs_attention) for name, look in seen.items()}
    yield Family("intagly_printer_needs_attention", "gauge", "1: a person has to make sense of it.", each("printer", attention))
    progress = {name: look.progress for name, look in seen.items() if look.busy}
    yield Family("intagly_printer_progress_ratio", "gauge", "How far its print is, 0 to 1.", each("printer", progress))
    left = {name: float(look.seconds_left) for name, look in seen.items() if look.busy and look.seconds_left is not None}
    yield Family("intagly_printer_remaining_seconds", "gauge", "Time its print still takes, as it says.", each("printer", left))
    free = {name: float(figures.bed is not None and figures.bed.state is BedState.FREE) for name, figures in printers.items()}
    yield Family("intagly_printer_bed_free", "gauge", "1: somebody said that its bed is clear.", each("printer", free))
    yield Family("intagly_printer_temperature_celsius", "gauge", "How warm it is.", list(_warmth(printers, targets=False)))
    yield Family("intagly_printer_target_celsius", "gauge", "How warm it is to be; 0: off.", list(_warmth(printers, targets=True)))


def _warmth(printers: Mapping[str, PrinterFigures], *, targets: bool) -> Iterator[Sample]:
    for name, figures in printers.items():
        now = figures.warmth
        nozzle, bed = (now.nozzle_target_c, now.bed_target_c) if targets else (now.nozzle_c, now.bed_c)
        for heater, celsius in (("nozzle", nozzle), ("bed", bed)):
            if celsius is not None:
                yield Sample({"printer": name, "heater": heater}, celsius)


def measure_families(measures: Measures, writes: Spread) -> Iterator[Family]:
    for kind in ("marketplace", "printer"):
        looks = [
            Sample({kind: name, "result": "ok" if answered else "error"}, count)
            for (what, name, answered), count in sorted(measures.looks.items())
            if what == kind
        ]
        yield Family(f"intagly_{kind}_looks_total", "counter", f"Times a {kind} was asked how it stands, since the start.", looks)
    errors = {kind: float(count) for kind, count in sorted(measures.errors.items())}
    yield Family("intagly_order_errors_total", "counter", "Steps of orders that failed since the start.", each("kind", errors))
    sliced = [sample for name, measured in sorted(measures.slicers.items()) for sample in spread(measured, slicer=name)]
    yield Family("intagly_slicing_seconds", "histogram", "Slicing of one plate's work, proof included, since the start.", sliced)
    passes = list(spread(measures.passes))
    yield Family("intagly_loop_pass_seconds", "histogram", "The loop's looks for what is due, since the start.", passes)
    yield Family("intagly_ledger_write_seconds", "histogram", "Transactions of the ledger, since the start.", list(spread(writes)))
