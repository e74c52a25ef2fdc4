"""What became of a job, told from reports alone: late, piecemeal, stale, with gaps."""

from typing import Any

import pytest

from agent.domain.printer import PrinterObservation, PrinterState
from agent.printers.bambu import codes
from agent.printers.bambu.commands import minted_id
from agent.printers.bambu.jobs import NEW_IDS_S, REASON_LAG_S, Jobs
from agent.printers.bambu.report import Report

OURS, THEIRS = "order_1-1-1-0123abcd.gcode", "Benchy"
CANCEL, RUNOUT, UNREADABLE = 0x0300400C, 0x07008011, 0x0500C010


class Printer:
    """Says things; time passes only where a test lets it."""

    def __init__(self, **first: Any) -> None:
        self.now = 1000.0
        self.jobs = Jobs()
        self.report = Report()
        self.says(**{"gcode_state": "IDLE", "subtask_name": "", "subtask_id": "0", "print_error": 0, "hms": [], **first})

    def says(self, gcode_state: str | None = None, after_s: float = 0.1, **fields: Any) -> "Printer":
        self.now += after_s
        push = {"command": "push_status", **fields} | ({"gcode_state": gcode_state} if gcode_state else {})
        self.report.hear(push)
        self.jobs.hear(self.report, self.now)
        return self

    def loses_the_connection(self) -> "Printer":
        self.jobs.connection_lost()
        self.report = Report()
        return self

    @property
    def seen(self) -> PrinterObservation:
        return self.jobs.seen(self.report, self.now)

    def end_of(self, name: str) -> PrinterObservation | None:
        return self.jobs.end_of(name, self.report, self.now)


def ours(before: str = "IDLE", name: str = OURS) -> dict[str, str]:
    return {"subtask_name": name, "subtask_id": str(minted_id(name, before))}


def printing(**first: Any) -> Printer:
    printer = Printer(**first)
    return printer.says("PREPARE", **ours(printer.report.state)).says("RUNNING", mc_percent=20, mc_remaining_time=10)


def test_from_beginning_to_end() -> None:
    printer = Printer().says("PREPARE", mc_percent=100, **ours())
    assert printer.seen == PrinterObservation(state=PrinterState.PREPARING, remote_name=OURS), "the percent is the last job's"
    printer.says("RUNNING", mc_percent=20, mc_remaining_time=10)
    assert printer.seen == PrinterObservation(state=PrinterState.PRINTING, remote_name=OURS, progress=0.2, seconds_left=600)
    printer.says("RUNNING", layer_num=0, total_layer_num=[])
    assert (printer.seen.layer, printer.seen.layers) == (None, None)
    printer.says("RUNNING", layer_num=5, total_layer_num="10")
    assert (printer.seen.layer, printer.seen.layers) == (5, 10)
    assert printer.end_of(OURS) is None
    printer.says("FINISH", mc_percent=100)
    assert printer.seen == PrinterObservation(state=PrinterState.FINISHED, remote_name=OURS, progress=1.0)
    printer.says("PREPARE", subtask_name=THEIRS, subtask_id="0")
    assert printer.seen.remote_name == THEIRS
    assert printer.end_of(OURS) == PrinterObservation(state=PrinterState.FINISHED, remote_name=OURS, progress=1.0)


@pytest.mark.parametrize("stale", ["FINISH", "FAILED"])
def test_a_stale_end_is_not_the_new_jobs(stale: str) -> None:
    printer = printing().says(stale, print_error=UNREADABLE if stale == "FAILED" else 0).says(after_s=REASON_LAG_S)
    first = printer.seen
    assert first.state is (PrinterState.FINISHED if stale == "FINISH" else PrinterState.FAILED)
    second = ours(stale, "order_2-1-1-0123abcd.gcode")
    printer.says(**second, print_error=0)
    for _ in range(3):
        assert printer.says(after_s=80).seen == PrinterObservation(state=PrinterState.IDLE)
    assert printer.end_of(second["subtask_name"]) is None
    assert printer.end_of(OURS) == first
    assert printer.says("PREPARE").seen.remote_name == second["subtask_name"]
    assert printer.says("FINISH").seen.state is PrinterState.FINISHED


@pytest.mark.parametrize(("before", "believed"), [("IDLE", True), ("FAILED", True), ("FINISH", False)])
def test_after_a_restart_an_end_counts_where_the_printer_did_not_stand_there_before(before: str, believed: bool) -> None:
    printer = Printer(gcode_state="FINISH", mc_percent=100, **ours(before))
    assert printer.seen.state is (PrinterState.FINISHED if believed else PrinterState.IDLE)
    assert (printer.end_of(OURS) is not None) is believed
    assert printer.seen.remote_name == (OURS if believed else ""), "what cannot be told is asked"


def test_after_a_restart_the_ledgers_word_counts() -> None:
    printer = Printer(gcode_state="FINISH", **ours("FINISH"))
    printer.jobs.was_at_work(OURS)
    assert printer.seen == PrinterObservation(state=PrinterState.FINISHED, remote_name=OURS, progress=1.0)


def test_somebody_elses_end_is_shown() -> None:
    """The bed is not free then."""
    printer = Printer(gcode_state="FINISH", subtask_name=THEIRS, subtask_id="12345")
    assert printer.seen == PrinterObservation(state=PrinterState.FINISHED, remote_name=THEIRS, progress=1.0)


def test_a_cancel_is_latched_though_it_is_cleared_at_once() -> None:
    printer = printing().says(print_error=CANCEL).says(print_error=0).says("FAILED")
    assert printer.seen.state is PrinterState.CANCELLED
    assert printer.seen.reason == "cancelled at the printer (0300-400C)"
    assert printer.says(after_s=60).seen.state is PrinterState.CANCELLED


def test_a_cancel_whose_code_comes_late() -> None:
    printer = printing().says("FAILED")
    assert printer.seen.busy, "no verdict yet"
    assert printer.says(print_error=CANCEL).seen.state is PrinterState.CANCELLED


def test_our_own_cancel() -> None:
    printer = printing()
    printer.jobs.we_stop(OURS)
    assert printer.says("FAILED").seen == PrinterObservation(
        state=PrinterState.CANCELLED, remote_name=OURS, progress=0.2, reason="cancelled by the agent"
    )


def test_a_cancel_that_ends_in_idle() -> None:
    printer = printing()
    printer.jobs.we_stop(OURS)
    printer.says("IDLE", subtask_name="", subtask_id="0")
    assert printer.seen == PrinterObservation(state=PrinterState.IDLE)
    end = printer.end_of(OURS)
    assert end is not None and end.state is PrinterState.CANCELLED


def test_a_failure_with_its_code() -> None:
    printer = printing().says("FAILED", print_error=UNREADABLE)
    assert printer.seen.busy
    failed = printer.says(after_s=REASON_LAG_S).seen
    assert failed.state is PrinterState.FAILED
    assert failed.reason == "it cannot read its memory card or the file on it (0500-C010)"


def test_a_failure_while_it_prepares() -> None:
    printer = Printer().says("PREPARE", **ours()).says("FAILED", print_error=UNREADABLE).says(after_s=REASON_LAG_S)
    assert printer.seen.state is PrinterState.FAILED


def test_an_early_end_without_any_error() -> None:
    printer = printing().says("FAILED", print_error=0).says(after_s=REASON_LAG_S)
    assert printer.seen.state is PrinterState.CANCELLED
    assert "names no error" in printer.seen.reason


def test_an_early_end_with_a_new_message() -> None:
    old, new = {"attr": 1, "code": 1}, {"attr": 0x07000200, "code": 0x00020001}
    assert printing(hms=[old]).says("FAILED", hms=[old]).says(after_s=3).seen.state is PrinterState.CANCELLED
    assert printing(hms=[old]).says("FAILED", hms=[old, new]).says(after_s=3).seen.state is PrinterState.FAILED


def test_an_error_that_was_overcome_is_not_the_reason() -> None:
    printer = printing().says("PAUSE", print_error=RUNOUT).says("RUNNING", print_error=0).says("FAILED").says(after_s=REASON_LAG_S)
    assert printer.seen.state is PrinterState.CANCELLED


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stg_cur": 6}, "the filament has run out"),
        ({"print_error": RUNOUT}, "the filament has run out (0700-8011)"),
        ({"print_error": 0x03008004}, "the filament has run out (0300-8004)"),
        ({"print_error": 0x03008001}, "paused at the printer (0300-8001)"),
        ({"stg_cur": 16}, "paused at the printer"),
        ({}, "paused at the printer, or by it"),
        ({"print_error": 0x03008014}, "filament clumps at the nozzle (0300-8014)"),
    ],
)
def test_why_it_is_paused(fields: dict[str, int], reason: str) -> None:
    seen = printing().says("PAUSE", **fields).seen
    assert (seen.state, seen.reason) == (PrinterState.PAUSED, reason)


def test_our_own_pause_and_a_later_one_at_the_printer() -> None:
    printer = printing()
    printer.jobs.we_pause(OURS)
    printer.says("RUNNING", mc_percent=21)
    assert printer.says("PAUSE", stg_cur=16).seen.reason == "paused by the agent"
    assert printer.says("RUNNING").says("PAUSE", stg_cur=16).seen.reason == "paused at the printer"


@pytest.mark.parametrize("state", ["INIT", "OFFLINE", "UNKNOWN", "PRINTING_TWICE", "7"])
def test_an_unknown_state_is_no_idle_printer(state: str) -> None:
    printer = printing().says(state)
    assert (printer.seen.state, printer.seen.reason) == (PrinterState.OFFLINE, f"unknown state {state}")
    assert printer.says(after_s=60).end_of(OURS) is None
    assert printer.says("RUNNING").seen.state is PrinterState.PRINTING


# --- gaps --------------------------------------------------------------------------------------------------------------


def test_it_finishes_while_the_connection_is_away() -> None:
    printer = printing()
    job = {key: printer.report.said[key] for key in ("subtask_name", "subtask_id")}
    assert printer.loses_the_connection().says("FINISH", print_error=0, **job).seen.state is PrinterState.FINISHED


def test_it_ends_early_while_the_connection_is_away() -> None:
    printer = printing()
    job = {key: printer.report.said[key] for key in ("subtask_name", "subtask_id")}
    printer.loses_the_connection().says("FAILED", print_error=0, **job).says(after_s=REASON_LAG_S)
    assert printer.seen.state is PrinterState.CANCELLED
    assert "while nobody looked" in printer.seen.reason


def test_a_printer_that_was_switched_off_knows_nothing_more() -> None:
    printer = printing().loses_the_connection()
    printer.says("IDLE", subtask_name="", subtask_id="0", print_error=0)
    assert printer.seen == PrinterObservation(state=PrinterState.IDLE)
    assert printer.end_of(OURS) is None


def test_a_delta_alone_says_nothing() -> None:
    printer = printing().loses_the_connection()
    assert not printer.says("FINISH", mc_percent=100).report.complete
    assert printer.jobs.end_of(OURS, printer.report, printer.now) is None


def test_another_job_took_its_place() -> None:
    printer = printing().says(subtask_name=THEIRS, subtask_id="0")
    assert (printer.seen.state, printer.seen.remote_name) == (PrinterState.PRINTING, THEIRS)
    assert printer.end_of(OURS) is None


# --- names and ids that lag -----------------------------------------------------------------------------------------------


def test_a_state_that_comes_before_its_ids() -> None:
    printer = printing().says("FINISH").says("PREPARE")
    assert (printer.seen.state, printer.seen.remote_name) == (PrinterState.FINISHED, OURS)
    printer.says(subtask_name=THEIRS, subtask_id="0")
    assert (printer.seen.state, printer.seen.remote_name) == (PrinterState.PREPARING, THEIRS)


def test_the_same_ids_at_work_for_long_are_a_print_of_their_own() -> None:
    printer = printing().says("FINISH").says("PREPARE").says(after_s=NEW_IDS_S)
    assert printer.seen.state is PrinterState.PREPARING
    assert printer.end_of(OURS) is None


def test_a_person_prints_the_same_file_again_and_again() -> None:
    printer = Printer()
    for _ in range(3):
        printer.says("PREPARE", subtask_name=THEIRS, subtask_id="0")
        assert printer.seen.state is PrinterState.PREPARING
        assert printer.says("FINISH").seen.state is PrinterState.FINISHED


def test_a_refused_start_is_no_job_that_failed() -> None:
    job = ours("IDLE")
    printer = Printer()
    printer.jobs.was_refused(OURS, int(job["subtask_id"]))
    printer.says("FAILED", print_error=UNREADABLE, **job)
    assert printer.seen == PrinterObservation(state=PrinterState.IDLE)
    assert printer.end_of(OURS) is None


def test_ends_are_remembered_but_not_for_ever() -> None:
    printer = Printer()
    for n in range(200):
        name = f"order_{n}-1-1-0123abcd.gcode"
        printer.says("PREPARE", **ours("FINISH", name)).says("FINISH")
    assert printer.end_of("order_199-1-1-0123abcd.gcode") is not None
    assert printer.end_of("order_150-1-1-0123abcd.gcode") is not None
    assert printer.end_of("order_1-1-1-0123abcd.gcode") is None


def test_every_code_has_words() -> None:
    for code in ("0300400C", "05004002", "12008011", "07FF8012", "0500C010", "05008051", codes.HMS_DEVELOPER_MODE, "DEADBEEF"):
        assert len(codes.told(code)) > 20
