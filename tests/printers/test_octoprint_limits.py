"""What the OctoPrint adapter makes of servers that hang, drip, flood, or are none. No OctoPrint is needed."""

import asyncio
import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.domain.errors import Transient
from agent.domain.printer import PrinterState
from agent.printers import bounded_http, octoprint, octorest_client
from tests.printers.benches import octoprint_at
from tests.printers.wire import IDLE, KEY, NAME, Answer, Request, Wire, canned, dripping, endless, silent, stored

MB = 1_000_000


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of seconds as tenths."""
    monkeypatch.setattr(bounded_http, "CONNECT_S", 0.2)
    monkeypatch.setattr(bounded_http, "ANSWER_S", 0.15)


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "answer",
    [
        silent,
        dripping(b"H"),
        dripping(b"HTTP/1.1 200 OK\r\nX-Header: "),
        dripping(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n{"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        dripping(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 900000\r\n\r\n"),
    ],
    ids=["silent", "status", "header", "continue", "body", "chunk", "redirect"],
)
async def test_a_call_has_an_end(answer: Answer) -> None:
    with Wire(answer) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            began = time.monotonic()
            seen = await printer.observe()
            assert seen.state is PrinterState.OFFLINE
            with pytest.raises(Transient) as late:
                await printer.start(NAME)
            assert late.value.code == "timeout"
            assert time.monotonic() - began < 2


async def test_a_hanging_printer_delays_no_other_and_nothing_else() -> None:
    with Wire(silent) as sick, Wire(canned(IDLE)) as well:
        async with octoprint_at(sick.url, KEY) as hangs, octoprint_at(well.url, KEY) as works:
            waiting = [asyncio.create_task(hangs.observe()) for _ in range(20)]
            await _while_nothing(lambda: sick.connections < octoprint.THREADS)
            async with asyncio.timeout(2):
                assert (await works.observe()).state is PrinterState.IDLE
                assert await asyncio.to_thread(lambda: "the ledger's turn")
            assert sick.connections == octoprint.THREADS
            for task in waiting:
                task.cancel()


async def test_leaving_ends_calls_that_hang(gcode: Path) -> None:
    with Wire(silent) as wire:
        began = time.monotonic()
        async with octoprint_at(wire.url, KEY) as printer:
            waiting = [asyncio.create_task(printer.upload(gcode, NAME)), asyncio.create_task(printer.start(NAME))]
            await _while_nothing(lambda: len(wire.requests) < 2)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, Transient) for result in results)
        await _while_nothing(lambda: any(thread.name.startswith("octoprint") for thread in threading.enumerate()))
        assert time.monotonic() - began < 2


async def test_a_start_that_waited_too_long_for_its_turn_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(octoprint, "_TURN_S", 0.1)
    monkeypatch.setattr(bounded_http, "ANSWER_S", 0.5)
    with Wire(silent) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            looks = [asyncio.create_task(printer.observe()) for _ in range(octoprint.THREADS)]
            await _while_nothing(lambda: len(wire.requests) < octoprint.THREADS)
            with pytest.raises(Transient) as late:
                await printer.start(NAME)
            assert late.value.code == "busy"
            await asyncio.gather(*looks)
        assert not [line for line in wire.lines() if line.startswith("POST")]


async def test_who_connects_too_late_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a name server answers after half a minute: the start is thought lost by then."""
    monkeypatch.setattr(bounded_http, "CONNECT_ALL_S", -1.0)
    with Wire(canned(IDLE)) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            with pytest.raises(Transient) as late:
                await printer.start(NAME)
            assert late.value.code == "timeout"
        assert wire.requests == []


@pytest.mark.usefixtures("hurried")
async def test_a_start_that_is_given_up_is_taken_back_from_the_network() -> None:
    """A connection that is reset, not closed in good order: what was not delivered by then never is."""
    ends: list[type[OSError] | None] = []

    def listens(request: Request) -> None:
        try:
            request.connection.recv(1)
            ends.append(None)
        except OSError as error:
            ends.append(type(error))

    with Wire(listens) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            with pytest.raises(Transient):
                await printer.start(NAME)
            await _while_nothing(lambda: not ends)
    assert ends == [ConnectionResetError]


# --- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        canned(b" " * (bounded_http.LARGEST_ANSWER + 1)),
        endless(b"HTTP/1.1 200 OK\r\n\r\n"),
        endless(b"HTTP/1.1 403 No\r\n\r\n"),
        endless(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"),
        canned(gzip.compress(b" " * 50 * MB), Content_Encoding="gzip"),
    ],
    ids=["long", "endless", "endless-error", "endless-redirect", "bomb"],
)
async def test_an_answer_without_end_fills_no_memory(answer: Answer) -> None:
    with Wire(answer) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            with pytest.raises(Transient) as flood:
                await printer.start(NAME)
            assert flood.value.code == "not_octoprint"


async def test_idle_looks_share_one_connection() -> None:
    with Wire(canned(IDLE)) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            for _ in range(20):
                assert (await printer.observe()).state is PrinterState.IDLE
        assert (wire.connections, len(wire.requests)) == (1, 20)


# --- uploads --------------------------------------------------------------------------------------------------------


async def test_a_card_that_is_slow_for_a_moment_loses_no_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "CONNECT_S", 0.2)
    with Wire(stored, stall_s=0.5) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            await printer.upload(_large(tmp_path), NAME)


@pytest.mark.parametrize("limit", ["SEND_STALL_S", "STORED_S"])
async def test_an_upload_that_stands_still_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(octorest_client, limit, 0.3)
    with Wire(silent, stall_s=60.0 if limit == "SEND_STALL_S" else 0.0) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            with pytest.raises(Transient):
                await printer.upload(_large(tmp_path), NAME)


async def test_an_upload_that_crawls_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(octorest_client, "sending_s", lambda _gcode: 0.3)
    with Wire(stored, stall_s=0.5) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            with pytest.raises(Transient) as slow:
                await printer.upload(_large(tmp_path), NAME)
            assert slow.value.code == "timeout"


def _large(folder: Path) -> Path:
    """More than the kernel's buffers hold."""
    file = folder / "large.gcode"
    file.write_bytes(b"G1 X1 Y1\n" * 1_000_000)
    return file


async def _while_nothing(waits: Callable[[], bool]) -> None:
    """Polls: threads and sockets tell no event loop what they do."""
    async with asyncio.timeout(10):
        while waits():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
