"""A label is printed once: over a real cupsd, over one that is away, over connections that break, and over agents that die in between."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.domain.intent import Act
from agent.domain.label import LabelCheck, LabelPrint, LabelVerdict, PrintEnd
from agent.domain.mesh import Reason
from agent.domain.order import Order
from agent.labels.printing import LabelDesk, job_name
from agent.labels.queue import NotSent, Queue
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.sandbox.marketplace.label import label_pdf
from tests.ledger.offers import add_offer
from tests.rigs import cups as rig
from tests.rigs.cups import Cups
from tests.workflow.workshop import make_offer

GOOD = LabelCheck(verdict=LabelVerdict.GOOD, pages=1, width_mm=101.6, height_mm=152.4, paper="4×6 in label")
SHA256 = "ab" * 32

pytestmark = pytest.mark.skipif(not rig.can_run(), reason="cupsd runs only what root alone can write; cups-daemon and cups-client")


@pytest.fixture(scope="module")
def cups() -> Iterator[Cups]:
    server = Cups()
    try:
        server.start("Zebra", "Stuck", "Held", "Broken", "Closed", "Lost", "Small")
        yield server
    finally:
        server.remove()


@dataclass
class Bench:
    """An order with a label, its ledger, and a queue that may be reached through a cable of ours."""

    cups: Cups
    ledger: SqlLedger
    order: Order
    label: Path
    queue: str = "Zebra"
    options: dict[str, object] = field(default_factory=dict)

    def desk(self, address: str = "", *, patience_s: float = 30) -> LabelDesk:
        return LabelDesk(Queue(address or self.cups.address(self.queue)), self.ledger, patience_s=patience_s, **self.options)  # type: ignore[arg-type]

    def print(self, address: str = "", *, again: bool = False, anyway: bool = False, check: LabelCheck = GOOD) -> LabelPrint:
        desk = self.desk(address)
        return asyncio.run(desk.print(self.order.id, self.label, SHA256, check, again=again, anyway=anyway))

    def papers(self) -> int:
        return len(self.cups.printed(self.queue))


@pytest.fixture
def bench(cups: Cups, tmp_path: Path) -> Iterator[Bench]:
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        order = add_offer(ledger, "market", make_offer(), datetime.now(UTC) + timedelta(minutes=15))
        assert order is not None
        label = tmp_path / "label.pdf"
        label.write_bytes(label_pdf(["Sandbox Post", "SBX123"], "SBX123"))
        yield Bench(cups, ledger, order, label)


# --- it is printed -----------------------------------------------------------------------------------------------------
def test_the_label_comes_out_as_it_is_on_its_paper_and_once(bench: Bench) -> None:
    before = bench.papers()
    first = bench.print()
    assert (first.end, first.again, first.why) == (PrintEnd.COMPLETED, False, "")
    assert bench.cups.printed("Zebra")[-1] == bench.label.read_bytes()
    options = bench.cups.options("Zebra").split()
    assert {"media=na_index-4x6_4x6in", "print-scaling=none", "PageSize=w288h432"} <= set(options)
    second = bench.print()
    assert (second.end, second.again, second.job) == (PrintEnd.COMPLETED, True, first.job)
    assert bench.papers() == before + 1
    assert bench.print(again=True).job != first.job
    assert bench.papers() == before + 2
    assert [event.kind for event in bench.ledger.events(bench.order.id)].count("label_sent_to_printer") == 2


def test_a_queue_of_this_machine_is_reached_by_its_name_over_the_socket(bench: Bench) -> None:
    before = bench.papers()
    desk = LabelDesk(Queue("Zebra", bench.cups.socket), bench.ledger)
    assert asyncio.run(desk.print(bench.order.id, bench.label, SHA256, GOOD)).end is PrintEnd.COMPLETED
    assert bench.papers() == before + 1


def test_on_larger_paper_it_keeps_its_size_and_is_only_scaled_where_told(bench: Bench) -> None:
    bench.options = {"media": "a4"}
    bench.print()
    assert {"media=iso_a4_210x297mm", "print-scaling=none", "PageSize=A4"} <= set(bench.cups.options("Zebra").split())
    bench.options = {"media": "a4", "fit": True}
    bench.print(again=True)
    assert "print-scaling=fit" in bench.cups.options("Zebra").split()


@pytest.mark.parametrize(
    ("check", "options", "code"),
    [
        (GOOD.model_copy(update={"width_mm": 210, "height_mm": 297}), {"media": "4x6in"}, "label_too_large"),
        (GOOD, {"media": "letter"}, "no_such_media"),
        (GOOD.model_copy(update={"verdict": LabelVerdict.REFUSED, "reasons": [Reason(code="active", text="x")]}), {}, "label_refused"),
        (GOOD.model_copy(update={"verdict": LabelVerdict.LOOK, "reasons": [Reason(code="tracking", text="x")]}), {}, "label_doubtful"),
    ],
)
def test_what_must_not_be_printed_is_not(bench: Bench, check: LabelCheck, options: dict[str, object], code: str) -> None:
    before, bench.options = bench.papers(), options
    with pytest.raises(Refused, check=lambda error: error.code == code and bool(error.hint)):
        bench.print(check=check)
    assert bench.papers() == before
    bench.options = {}
    assert bench.print().end is PrintEnd.COMPLETED, "nothing stands in the way of it once that is mended"


def test_a_person_who_looked_may_print_a_doubtful_one(bench: Bench) -> None:
    doubtful = GOOD.model_copy(update={"verdict": LabelVerdict.LOOK, "reasons": [Reason(code="no_text", text="x")]})
    assert bench.print(check=doubtful, anyway=True).end is PrintEnd.COMPLETED


# --- the queue says no, or waits ---------------------------------------------------------------------------------------
def test_a_stopped_queue_tells_its_own_reason_and_prints_once_when_it_goes_on(bench: Bench) -> None:
    bench.queue = "Stuck"
    bench.cups.run("cupsdisable", "-r", "the roll is being changed", "Stuck")
    waiting = bench.print()
    assert waiting.end is PrintEnd.WAITING and "the roll is being changed" in waiting.why
    assert bench.print().job == waiting.job, "asked again it is not sent again"
    bench.cups.run("cupsenable", "Stuck")
    done = bench.print()
    assert (done.end, done.job, done.again, bench.papers()) == (PrintEnd.COMPLETED, waiting.job, True, 1)


def test_a_printer_out_of_labels_is_told_in_its_own_words(bench: Bench) -> None:
    bench.queue = "Broken"
    bench.cups.fails("Broken", rig.STOP)
    told = bench.print()
    assert told.end is PrintEnd.WAITING and "The labels are used up" in told.why and "media-empty" in told.why
    bench.cups.fails("Broken", None)
    bench.cups.run("cupsenable", "Broken")
    assert bench.print().end is PrintEnd.COMPLETED
    assert bench.papers() == 1


def test_a_job_that_is_held_waits_and_one_that_is_cancelled_may_be_printed_anew(bench: Bench) -> None:
    bench.queue = "Held"
    bench.cups.run("lpadmin", "-p", "Held", "-o", "job-hold-until-default=indefinite")
    held = bench.print()
    assert held.end is PrintEnd.WAITING and "hold" in held.why
    bench.cups.run("cancel", f"Held-{held.job}")
    cancelled = bench.print()
    assert (cancelled.end, cancelled.job) == (PrintEnd.FAILED, held.job) and "cancelled" in cancelled.why
    bench.cups.run("lpadmin", "-p", "Held", "-o", "job-hold-until-default=no-hold")
    assert bench.print().end is PrintEnd.COMPLETED
    assert bench.papers() == 1


def test_a_queue_that_takes_no_jobs_and_one_that_is_not_there(bench: Bench) -> None:
    bench.cups.run("cupsreject", "-r", "closed for today", "Closed")
    with pytest.raises(NeedsOperator, match="closed for today", check=lambda error: error.code == "queue_rejects"):
        bench.print(bench.cups.address("Closed"))
    with pytest.raises(Refused, check=lambda error: error.code == "no_such_queue" and "Zebra" in error.hint):
        bench.print(bench.cups.address("Zerba"))
    assert bench.print().end is PrintEnd.COMPLETED


@pytest.mark.parametrize("address", ["a b", "http://localhost/x", "ipp://", "ipp://host", "ipp://me:pw@host/x", "ipp://host:99999/x", ""])
def test_what_is_no_queue_is_told(address: str) -> None:
    with pytest.raises(Refused, check=lambda error: error.code == "no_such_queue" and bool(error.hint)):
        Queue(address)


def test_a_cups_that_is_away_took_nothing_and_later_it_is_printed(bench: Bench) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(NotSent, check=lambda error: error.code == "queue_away"):
            bench.print(f"ipp://127.0.0.1:{nobody.getsockname()[1]}/printers/Zebra")
    before = bench.papers()
    assert (bench.print().end, bench.papers()) == (PrintEnd.COMPLETED, before + 1)


# --- answers get lost --------------------------------------------------------------------------------------------------
class LossyCable:
    """Carries requests to CUPS; the answer to the first Print-Job is not carried back, or the request not carried there."""

    def __init__(self, to: int, *, drops_request: bool = False) -> None:
        self._to, self._drops_request = to, drops_request
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.print_jobs = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self._carry(connection)

    def _carry(self, connection: socket.socket) -> None:
        head, body = connection.recv(65536), b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        head, body = head.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        while len(body) < length:
            body += connection.recv(65536)
        prints = struct.unpack_from(">H", body, 2)[0] == 0x0002
        self.print_jobs += prints
        if prints and self.print_jobs == 1 and self._drops_request:
            return
        with socket.create_connection(("127.0.0.1", self._to)) as other:
            other.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            answer = b"".join(iter(lambda: other.recv(65536), b""))
        if not (prints and self.print_jobs == 1):
            connection.sendall(answer)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


def test_a_lost_answer_is_looked_up_and_nothing_is_sent_twice(bench: Bench) -> None:
    before, cable = bench.papers(), LossyCable(bench.cups.port)
    try:
        told = bench.print(f"ipp://127.0.0.1:{cable.port}/printers/Zebra")
    finally:
        cable.close()
    assert (told.end, cable.print_jobs, bench.papers()) == (PrintEnd.COMPLETED, 1, before + 1)


def test_a_request_that_perhaps_arrived_is_a_persons_to_judge(bench: Bench) -> None:
    before, cable = bench.papers(), LossyCable(bench.cups.port, drops_request=True)
    address = f"ipp://127.0.0.1:{cable.port}/printers/Zebra"
    try:
        for _ in range(2):
            with pytest.raises(NeedsOperator, check=lambda error: error.code == "perhaps_printed" and "--again" in error.hint):
                bench.print(address)
        assert bench.papers() == before
        assert bench.print(address, again=True).end is PrintEnd.COMPLETED
    finally:
        cable.close()
    assert bench.papers() == before + 1


def test_an_agent_that_died_after_sending_finds_its_job(bench: Bench) -> None:
    """The intent is open, as the ledger of a dead agent has it, and the job is in the queue."""
    before = bench.papers()
    intent, fresh = bench.ledger.intent(bench.order.id, Act.PRINT_LABEL, f"{SHA256[:16]}#1")
    queue = Queue(bench.cups.address("Zebra"))
    job = asyncio.run(queue.print(bench.label, job_name(intent), "na_index-4x6_4x6in", fit=False))
    told = bench.print()
    assert fresh and (told.job, told.again, told.end) == (job, True, PrintEnd.COMPLETED)
    assert bench.papers() == before + 1
    assert bench.print().again and bench.papers() == before + 1


def test_an_agent_that_died_before_sending_asks(bench: Bench) -> None:
    before = bench.papers()
    bench.ledger.intent(bench.order.id, Act.PRINT_LABEL, f"{SHA256[:16]}#1")
    with pytest.raises(NeedsOperator, check=lambda error: error.code == "perhaps_printed"):
        bench.print()
    assert bench.papers() == before


def test_two_at_once_print_one(bench: Bench) -> None:
    before = bench.papers()

    async def both() -> list[LabelPrint | BaseException]:
        prints = [bench.desk().print(bench.order.id, bench.label, SHA256, GOOD) for _ in range(2)]
        return list(await asyncio.gather(*prints, return_exceptions=True))

    told = asyncio.run(both())
    assert any(isinstance(one, LabelPrint) and one.end is PrintEnd.COMPLETED for one in told)
    assert all(isinstance(one, LabelPrint | NeedsOperator) for one in told), told
    assert bench.papers() == before + 1


def test_another_label_for_the_same_order_is_another_print(bench: Bench) -> None:
    before = bench.papers()
    bench.print()
    asyncio.run(bench.desk().print(bench.order.id, bench.label, "cd" * 32, GOOD))
    assert bench.papers() == before + 2


@pytest.mark.parametrize("answer", [b"", b"200 OK\r\nContent-Length: 5\r\n\r\nhello", b"500 No\r\nContent-Length: 0\r\n\r\n"])
def test_what_is_no_printer_is_told(bench: Bench, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer and b"HTTP/1.1 " + answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(Transient, check=lambda error: bool(error.hint)):
            bench.print(f"ipp://127.0.0.1:{server.getsockname()[1]}/ipp/print")
        thread.join(5)
