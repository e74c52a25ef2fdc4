"""What can go wrong at the sandbox Bambu printer: lost connections, files and requests that make no sense, missing trays; its heat."""

import contextlib
import ftplib
import io
import json
import queue
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.bambu_server import BambuServer, running_bambu
from tests.rigs.vsftpd import can_run
from tests.sandbox.bambu_client import PLATE, Client, card, look, put

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("bambu machine")]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BambuServer]:
    with running_bambu(tmp_path_factory.mktemp("bambu"), stale_s=0.1, prepare_s=0.2) as server:
        yield server
        assert "Traceback" not in (server.folder / "stderr.txt").read_text()


@pytest.fixture
def server(shared: BambuServer) -> BambuServer:
    shared.reset()
    return shared


@pytest.fixture
def client(server: BambuServer) -> Iterator[Client]:
    with contextlib.closing(Client(server)) as client:
        yield client


def test_the_card_goes_away_in_the_middle_of_a_file(server: BambuServer) -> None:
    with pytest.raises((OSError, EOFError)), card(server) as ftp:
        data = ftp.transfercmd("STOR half.gcode.3mf")
        data.sendall(b"x" * 100_000)
        server.drop_ftps()
        try:
            while True:  # until the cut is noticed, which is within 50 ms
                data.sendall(b"x" * 100_000)
        finally:
            data.close()
    assert "half.gcode.3mf" not in server.events("upload")
    with card(server) as again:
        again.voidcmd("TYPE I")
        assert again.size("half.gcode.3mf") == (server.card / "half.gcode.3mf").stat().st_size


def test_a_slow_card_takes_the_next_file_slowly(server: BambuServer) -> None:
    server.slow_card(1_000_000)
    seconds = []
    for name in ("slow.gcode.3mf", "fast.gcode.3mf"):
        with card(server) as ftp:
            began = time.monotonic()
            ftp.storbinary(f"STOR {name}", io.BytesIO(b"x" * 3_000_000))
            seconds.append(time.monotonic() - began)
            assert ftp.size(name) == 3_000_000
    slow, fast = seconds
    assert slow > max(1, fast)


def test_the_camera_goes_away(server: BambuServer) -> None:
    with look(server, server.access_code) as camera:
        assert len(camera.recv(16)) == 16
        server.drop_camera()
        with contextlib.suppress(ConnectionError):  # an end, or a reset: it depends on what was on its way
            while camera.recv(65536):
                pass
    with look(server, server.access_code) as camera:
        assert len(camera.recv(16)) == 16


def test_a_second_viewer_waits_for_the_first_to_go(server: BambuServer) -> None:
    with look(server, server.access_code) as first:
        assert len(first.recv(16)) == 16
        with look(server, server.access_code) as second:
            second.settimeout(0.5)
            with pytest.raises(TimeoutError):
                second.recv(16)
            first.close()
            second.settimeout(10)
            assert len(second.recv(16)) == 16


def test_slow_answers_come_in_order(server: BambuServer, client: Client) -> None:
    put(server, "slow", 60)
    server.slow(0.5)
    asked = time.monotonic()
    client.send("info", "get_version")
    assert client.start("slow")["result"] == "success"
    assert time.monotonic() - asked >= 0.5
    assert server.active() == "slow"


@pytest.mark.parametrize(
    ("url", "param"),
    [
        ("ftp:///a\0b.gcode.3mf", PLATE),
        (f"ftp:///{'x' * 5000}", PLATE),
        ("ftp:///../../journal.jsonl", PLATE),
        ("file:///sdcard/../../journal.jsonl", PLATE),
        ("https://example.com/a.gcode.3mf", PLATE),
        (["ftp:///a"], {"plate": 1}),
    ],
    ids=["NUL", "too long", "outside", "outside the card", "web", "wrong types"],
)
def test_a_url_that_names_no_file(server: BambuServer, client: Client, url: Any, param: Any) -> None:
    client.send("print", "project_file", subtask_name="bad", subtask_id="5", param=param, url=url)
    assert client.state("FAILED")["print_error"] == 0x05004002
    assert "bad" not in server.starts()


def _unknown_packing(body: bytearray) -> None:
    central = body.find(b"PK\x01\x02")
    body[8:10] = body[central + 10 : central + 12] = (99).to_bytes(2, "little")


def _encrypted(body: bytearray) -> None:
    body[6] |= 1
    body[body.find(b"PK\x01\x02") + 8] |= 1


@pytest.mark.parametrize("spoil", [_unknown_packing, _encrypted])
def test_an_archive_it_cannot_open(server: BambuServer, client: Client, spoil: Callable[[bytearray], None]) -> None:
    path = put(server, "odd")
    body = bytearray(path.read_bytes())
    spoil(body)
    path.write_bytes(body)
    client.start("odd")
    assert client.state("FAILED")["print_error"] == 0x05004003
    assert "odd" not in server.starts()


def test_a_tray_that_is_not_there_is_waited_for_without_a_word(server: BambuServer, client: Client) -> None:
    server.trays(empty=[2])
    put(server, "mapped")
    for mapping in ([2], [9]):
        client.start("mapped", use_ams=True, ams_mapping=mapping)
        client.state("PREPARE")
        with pytest.raises(queue.Empty):
            client.until(lambda told: told.get("gcode_state") or told.get("print_error"), within_s=0.8)
        assert (server.state(), server.slots()[-1]) == ("PREPARE", mapping)
        server.cancel()


def test_its_record_says_which_tray_it_printed_from(server: BambuServer, client: Client) -> None:
    put(server, "tray", 0.3)
    for asked, slots, now in (
        ({"use_ams": True, "ams_mapping": [1]}, [1], "1"),
        ({"use_ams": False, "ams_mapping": [-1]}, [], "254"),
        ({}, None, "255"),
    ):
        client.start("tray", **asked)
        if slots is not None:
            client.until(lambda told, now=now: told.get("ams") == {"tray_now": now})  # a delta within: merging must be deep
        client.state("FINISH")
        assert server.slots()[-1] == slots
    ams = client.pushall()["ams"]
    assert (ams["tray_now"], len(ams["ams"][0]["tray"])) == ("255", 4)


def test_it_is_warm_while_it_prints_and_cools_down_after(server: BambuServer, client: Client) -> None:
    def warm() -> tuple[float, float, float]:
        report = server.look()["report"]
        return report["bed_temper"], report["bed_target_temper"], report["nozzle_temper"]

    server.times(cool_s=0.6)
    put(server, "warm", 0.3)
    assert warm() == (24.0, 0.0, 25.0)
    client.start("warm")
    prepared = client.until(lambda told: told.get("bed_target_temper") == 60)
    assert 24 < prepared["bed_temper"] < 60
    client.state("RUNNING")
    assert warm() == (60.0, 60.0, 220.0)
    client.state("FINISH")
    assert warm()[0] > 45
    client.until(lambda told: told.get("bed_temper") == 24)
    assert warm() == (24.0, 0.0, 25.0)


def test_a_start_while_busy_is_in_its_record(server: BambuServer, client: Client) -> None:
    put(server, "busy", 60)
    client.start("busy")
    assert client.start("busy")["reason"] == "busy"
    assert server.events("busy")[-1:] == ["busy"]
    server.clear_error()
    assert client.pushall()["print_error"] == 0


def test_a_warning_stops_nothing(server: BambuServer, client: Client) -> None:
    put(server, "warned", 60)
    client.start("warned")
    client.state("RUNNING")
    server.hms(0x03000D00, 0x00020001)
    client.until(lambda told: told.get("hms") == [{"attr": 0x03000D00, "code": 0x00020001}])
    assert server.state() == "RUNNING"


def test_whoever_talks_nonsense_to_its_control_port_is_told(server: BambuServer) -> None:
    lines = [b"\xff\xfe", b"[1,2]", b'"x"', b"[" * 5000, b"{}", b'{"do": "dance"}', b'{"do": "drop", "what": "cup"}']
    lines += [b'{"do": "set", "lose_starts": "x"}', b'{"do": "set", "tea": 1}', b'{"do": "times", "stale_s": "soon"}', b'{"do": "resume"}']
    with socket.create_connection(("127.0.0.1", server.control_port), 10) as line, line.makefile("rwb") as stream:
        for sent in lines:
            stream.write(sent + b"\n")
            stream.flush()
            assert json.loads(stream.readline())["ok"] is False, sent
        stream.write(b"x" * 200_000)
        stream.flush()
        with contextlib.suppress(ConnectionError):
            assert stream.readline() == b""
    assert server.state() == "IDLE"


def test_its_broker_ends_with_a_printer_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent.sandbox.bambu", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as printer:
        assert printer.stdout is not None
        told = json.loads(printer.stdout.readline())
        printer.kill()
    until = time.monotonic() + 10
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            socket.create_connection((told["host"], told["mqtt_port"]), 1).close()
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.mark.skipif(not can_run(), reason="vsftpd is not here, or may not be given users of its own")
def test_the_strict_card_wants_tls_to_be_ended(tmp_path: Path) -> None:
    """What pyftpdlib lets pass: a data channel that is closed without a word."""
    with running_bambu(tmp_path / "printer", ftps="vsftpd") as server, card(server) as ftp:
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd("STOR a.gcode.3mf")
        data.sendall(b"x" * 1_000_000)
        data.close()
        with pytest.raises(ftplib.error_temp, match="426"):
            ftp.voidresp()
