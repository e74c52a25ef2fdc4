"""The sandbox Bambu printer as its clients see it: its protocol, its states, its faults."""

import contextlib
import ftplib
import io
import queue
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.sandbox.bambu.faults import garbage
from tests.rigs.bambu_server import BambuServer, running_bambu
from tests.sandbox.bambu_client import PLATE, Client, card, look, put, tls

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("bambu machine")]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BambuServer]:
    with running_bambu(tmp_path_factory.mktemp("bambu"), stale_s=0.2, prepare_s=0.2) as server:
        yield server


@pytest.fixture
def server(shared: BambuServer) -> BambuServer:
    shared.reset()
    return shared


@pytest.fixture
def client(server: BambuServer) -> Iterator[Client]:
    with contextlib.closing(Client(server)) as client:
        yield client


def test_everything_on_request_then_what_changes(server: BambuServer, client: Client) -> None:
    full = client.pushall()
    assert (full["gcode_state"], full["msg"], len(full["ams"]["ams"][0]["tray"])) == ("IDLE", 0, 4)
    client.send("info", "get_version")
    assert {"name": "ota", "sw_ver": "01.08.02.00"}.items() <= client.answer("get_version")["module"][0].items()
    put(server, "first")
    assert client.start("first", md5="")["result"] == "success"
    prepared = client.state("PREPARE")
    assert (prepared["msg"], "ams" in prepared) == (1, False)
    client.state("RUNNING")
    done = client.state("FINISH")
    assert (done["mc_percent"], client.report["subtask_id"], client.report["subtask_name"]) == (100, "41", "first")
    assert server.starts()[-1:] == server.events("finish")[-1:] == ["first"]


def test_the_old_state_stands_a_while_beside_the_new_ids(server: BambuServer, client: Client) -> None:
    server.tell(gcode_state="FINISH", subtask_id="1")
    server.stale_s(0.5)
    put(server, "stale")
    client.start("stale")
    time.sleep(0.1)
    full = client.pushall()
    assert (full["gcode_state"], full["subtask_id"]) == ("FINISH", "41")
    client.state("PREPARE")


def test_pause_resume_and_stop(server: BambuServer, client: Client) -> None:
    put(server, "long", 60)
    client.start("long")
    client.state("RUNNING")
    client.send("print", "pause", param="")
    paused = client.state("PAUSE")
    assert (paused["stg_cur"], paused["print_error"]) == (16, 0x03008001)
    client.send("print", "resume", param="")
    assert client.state("RUNNING")["print_error"] == 0
    client.send("print", "stop", param="")
    assert client.state("FAILED")["print_error"] == 0x0300400C
    client.until(lambda told: told.get("print_error") == 0, within_s=5)
    client.send("print", "stop", param="")
    assert client.answer("stop")["result"] == "failed"
    assert [entry["event"] for entry in server.journal()][-4:] == ["start", "pause", "resume", "cancel"]


def test_a_file_comes_onto_the_card(server: BambuServer) -> None:
    body = b"x" * 3_000_000
    with card(server) as ftp:
        assert ftp.storbinary("STOR cache/a.gcode.3mf", io.BytesIO(body)).startswith("226")
        assert ftp.size("cache/a.gcode.3mf") == len(body)
        ftp.delete("cache/a.gcode.3mf")
        assert not (server.card / "cache" / "a.gcode.3mf").exists()  # listing an empty folder races with its own closing in ftplib
    assert server.events("upload")[-1:] == ["a.gcode.3mf"]


def test_the_card_wants_the_session_again(server: BambuServer) -> None:
    with card(server, reuse=False) as ftp, pytest.raises((OSError, ftplib.error_perm)):
        ftp.storbinary("STOR b.gcode.3mf", io.BytesIO(b"x" * 1_000_000))
    assert "b.gcode.3mf" not in server.events("upload")


def test_a_wrong_code_opens_nothing(server: BambuServer) -> None:
    with contextlib.closing(Client(server, code="00000000")) as refused:
        assert refused.reason == 135
    with pytest.raises(ftplib.error_perm, match="530"), card(server, code="00000000"):
        pass
    with look(server, "00000000") as camera:
        assert camera.recv(16) == b""


def test_the_camera_shows_pictures(server: BambuServer) -> None:
    with look(server, server.access_code) as camera:
        for _ in range(2):
            head = camera.recv(4096)  # alone in its record
            assert len(head) == 16
            size = struct.unpack("<IIII", head)[0]
            jpeg = b""
            while len(jpeg) < size:
                jpeg += camera.recv(size - len(jpeg))
            assert jpeg.startswith(b"\xff\xd8\xff\xe0")


def test_another_case_of_the_serial_is_silence(server: BambuServer) -> None:
    with contextlib.closing(Client(server, serial=server.serial.lower())) as client:
        assert client.reason == 0
        client.send("pushing", "pushall")
        with pytest.raises(queue.Empty):
            client.heard.get(timeout=1)


def test_the_certificate_names_the_serial_alone(server: BambuServer) -> None:
    for port in (server.mqtt_port, server.ftps_port, server.camera_port):
        with socket.create_connection((server.host, port), 10) as plain, tls(server).wrap_socket(plain) as secure:
            told = secure.getpeercert()
            assert told is not None
            assert told["subject"] == ((("commonName", server.serial),),)
            assert "subjectAltName" not in told
            assert secure.version() == "TLSv1.2"
        modern = tls(server)
        modern.maximum_version = modern.minimum_version = ssl.TLSVersion.TLSv1_3
        with socket.create_connection((server.host, port), 10) as plain, pytest.raises(OSError), modern.wrap_socket(plain):
            pass


def test_a_file_it_cannot_print_fails_before_it_prints(server: BambuServer, client: Client) -> None:
    whole = put(server, "cut", 60)
    whole.write_bytes(whole.read_bytes()[:-30])
    put(server, "sum")
    starts = server.starts()
    for name, md5, error in (("cut", "", 0x0500C010), ("sum", "0" * 32, 0x05004003), ("missing", "", 0x05004002)):
        assert client.start(name, md5=md5)["result"] == "success"
        client.state("PREPARE")
        assert client.state("FAILED")["print_error"] == error
    assert server.starts() == starts


def test_busy_is_an_answer(server: BambuServer, client: Client, tmp_path: Path) -> None:
    gcode = tmp_path / "theirs.gcode"
    gcode.write_text("G4 P60000\n")
    server.person_prints(gcode, "theirs")
    put(server, "ours")
    answer = client.start("ours")
    assert (answer["result"], answer["reason"]) == ("failed", "busy")
    assert client.pushall()["print_error"] == 0x05004004
    assert server.active() == server.starts()[-1] == "theirs"


def test_without_developer_mode_it_refuses(server: BambuServer, client: Client) -> None:
    put(server, "refused")
    hms = [{"attr": 83887360, "code": 65543}]
    server.refuse("result")
    answer = client.start("refused")
    assert (answer["result"], answer["reason"], answer["err_code"]) == ("failed", "mqtt message verify failed", 84033543)
    client.until(lambda told: told.get("hms") == hms)
    server.refuse("no_result")
    answer = client.start("refused")
    assert "result" not in answer
    client.until(lambda told: told.get("hms") == hms)
    assert server.active() is None


def test_runout_and_failure(server: BambuServer, client: Client) -> None:
    put(server, "runout", 60)
    client.start("runout")
    client.state("RUNNING")
    server.runout(1)
    paused = client.state("PAUSE")
    assert (paused["stg_cur"], paused["print_error"], paused["hms"]) == (6, 0x07008011, [{"attr": 0x07002100, "code": 0x00020001}])
    server.resume()
    client.state("RUNNING")
    server.fail()
    assert client.state("FAILED")["print_error"] == 0x03008014
    assert server.events("fail")[-1:] == ["runout"]


def test_starts_are_lost_and_held(server: BambuServer, client: Client) -> None:
    put(server, "lost")
    server.lose_next_start()
    client.send("print", "project_file", subtask_name="lost", param=PLATE, url="ftp:///lost.gcode.3mf")
    server.hold_next_start(0.6)
    asked = time.monotonic()
    client.start("lost")  # answered once: the first was lost
    assert time.monotonic() - asked >= 0.5
    client.state("FINISH")
    server.lose_next_reply()
    client.send("print", "project_file", subtask_name="lost", param=PLATE, url="file:///sdcard/lost.gcode.3mf")
    told = client.until(lambda told: told.get("command") == "project_file" or told.get("gcode_state") == "FINISH")
    assert told["command"] == "push_status"


@pytest.mark.parametrize("kind", ["not_utf8", "broken_json", "nul", "unknown_state", "wrong_types", "list", "nested", "huge", "empty"])
def test_garbage_arrives(server: BambuServer, client: Client, kind: str) -> None:
    before = client.pushall()
    server.garbage(kind)
    expected = garbage(kind, before)
    while client.heard.get(timeout=10) != expected:  # heartbeats come between
        pass
    assert client.pushall()["gcode_state"] == before["gcode_state"]


def test_silence_and_a_lost_broker(server: BambuServer, client: Client) -> None:
    put(server, "alone", 0.5)
    client.start("alone")
    server.silent()
    server.wait_for("FINISH")
    while not client.heard.empty():
        client.heard.get()
    client.send("pushing", "pushall")
    with pytest.raises(queue.Empty):
        client.heard.get(timeout=1)
    server.silent(False)
    assert client.pushall()["gcode_state"] == "FINISH"
    server.restart_broker()
    with contextlib.closing(Client(server)) as again:
        assert again.pushall()["subtask_name"] == "alone"
