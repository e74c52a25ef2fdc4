"""What the OctoPrint adapter sends, and what it makes of every kind of answer. No OctoPrint is needed."""

import asyncio
import ssl
import subprocess
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
import requests

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient, Unsound
from agent.domain.printer import PrinterState
from agent.printers import bounded_http, octorest_client
from agent.printers.octoprint import OctoPrintPrinter
from tests.printers.benches import octoprint_at
from tests.printers.wire import IDLE, KEY, NAME, Answer, Wire, canned, dripping, stored


async def test_an_upload_arrives_with_its_options(gcode: Path) -> None:
    with Wire(stored) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            await printer.upload(gcode, NAME)
    (request,) = wire.requests
    assert request.line == "POST /api/files/local HTTP/1.1"
    assert f"X-Api-Key: {KEY}".encode() in request.head
    headers = next(line for line in request.head.split(b"\r\n") if line.lower().startswith(b"content-type"))
    parts = BytesParser().parsebytes(headers + b"\r\n\r\n" + request.body).get_payload()
    fields: dict[Any, Any] = {part.get_param("name", header="content-disposition"): part for part in parts}  # type: ignore[union-attr]
    assert sorted(fields) == ["file", "print", "select"]
    assert fields["print"].get_payload() == "false"
    assert fields["select"].get_payload() == "true"
    assert fields["file"].get_filename() == NAME
    assert fields["file"].get_payload(decode=True) == gcode.read_bytes()


async def test_a_name_that_was_changed_is_told(gcode: Path) -> None:
    with Wire(canned({"files": {"local": {"path": "other.gcode"}}}, 201)) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            with pytest.raises(Refused) as renamed:
                await printer.upload(gcode, NAME)
            assert renamed.value.code == "renamed"


_PAGE = b"<html><body>" + b"it works " * 100


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (canned({"error": "no"}, 401), NeedsOperator, "wrong_key"),
        (canned({"error": "no"}, 403), NeedsOperator, "wrong_key"),
        (canned({"error": "CSRF validation failed"}, 400), NeedsOperator, "wrong_key"),
        (canned({"error": "bad"}, 400), Refused, "http_400"),
        (canned({"error": "none"}, 404), Refused, "not_found"),
        (canned({"error": "busy"}, 409), Refused, "conflict"),
        (canned(_PAGE, 413), Refused, "upload_refused"),
        (canned({"error": "type"}, 415), Refused, "upload_refused"),
        (canned(b"", 302, Location="http://elsewhere.example/"), Refused, "redirected"),
        (canned(_PAGE, 500), Unsound, "http_500"),
        (canned(_PAGE, 503), Unsound, "http_503"),
        (canned(_PAGE), Unsound, "not_octoprint"),
        (canned(b""), Unsound, "not_octoprint"),
        (canned(b"\xff\xfe{", Content_Type="application/json; charset=nonsense"), Unsound, "not_octoprint"),
        (canned(b"[" * 500_000), Unsound, "not_octoprint"),
        (canned([]), Unsound, "not_octoprint"),
        (canned({}), Unsound, "not_octoprint"),
        (canned({"path": 5, "prints": []}), Unsound, "not_octoprint"),
        (canned(b"not gzip", Content_Encoding="gzip"), Unsound, "not_octoprint"),
        (lambda request: request.connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"), Unsound, "not_octoprint"),
        (lambda request: request.connection.close(), Transient, "unreachable"),
    ],
)
async def test_answers_are_told_apart(gcode: Path, answer: Answer, error: type[AgentError], code: str) -> None:
    with Wire(answer) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            with pytest.raises(error) as told:
                await printer.upload(gcode, NAME)
            assert (type(told.value) in (error, octorest_client.NotThere), told.value.code) == (True, code)
            assert len(told.value.told()) < 500
            seen = await printer.observe()
            assert seen.state is PrinterState.OFFLINE
            assert seen.reason
            assert seen.needs_attention == (code != "unreachable"), "patience helps only where nobody is there"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("Operational", PrinterState.IDLE),
        ("Starting", PrinterState.PREPARING),
        ("Starting print from SD", PrinterState.PREPARING),
        ("Sending file to SD", PrinterState.PREPARING),
        ("Transferring file to SD", PrinterState.PREPARING),
        ("Printing", PrinterState.PRINTING),
        ("Printing from SD", PrinterState.PRINTING),
        ("Pausing", PrinterState.PRINTING),
        ("Resuming", PrinterState.PRINTING),
        ("Cancelling", PrinterState.PRINTING),
        ("Finishing", PrinterState.PRINTING),
        ("Paused", PrinterState.PAUSED),
        ("Offline", PrinterState.OFFLINE),
        ("Offline after error", PrinterState.OFFLINE),
        ("Error", PrinterState.OFFLINE),
        ("Error: heater", PrinterState.OFFLINE),
        ("Opening serial connection", PrinterState.OFFLINE),
        ("Detecting serial connection", PrinterState.OFFLINE),
        ("Connecting", PrinterState.OFFLINE),
        ("Unknown State (17)", PrinterState.OFFLINE),
        ("", PrinterState.OFFLINE),
    ],
)
async def test_every_state_of_octoprint_has_a_meaning(state: str, expected: PrinterState) -> None:
    """The texts of 1.11.8's util/comm.py, and some of older versions."""
    answer = {"state": state, "job": {"file": {"path": NAME}}, "progress": {"completion": 40.0, "printTimeLeft": 61}}
    with Wire(canned(answer)) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            seen = await printer.observe()
    assert seen.state is expected
    assert seen.needs_attention == (state in ("Unknown State (17)", ""))
    if seen.busy:
        assert (seen.remote_name, seen.progress, seen.seconds_left) == (NAME, 0.4, 61)
    assert bool(seen.reason) is (expected in (PrinterState.OFFLINE, PrinterState.PAUSED))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (canned({"path": NAME}), PrinterState.IDLE),
        (canned({"path": NAME, "prints": {"success": 0, "failure": 2}}), PrinterState.IDLE),
        (canned({"path": NAME, "prints": {"success": 1, "failure": 0}}), PrinterState.FINISHED),
        (canned({"error": "no such file"}, 404), PrinterState.FINISHED),
    ],
    ids=["no-history", "only-failed", "succeeded", "on-the-card"],
)
async def test_an_end_is_believed_where_the_history_does_not_deny_it(file: Answer, expected: PrinterState) -> None:
    done = canned({"state": "Operational", "job": {"file": {"path": NAME}}, "progress": {"completion": 100.0}})
    with Wire(lambda request: (file if "/files/" in request.line else done)(request)) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            for _ in range(5):
                assert (await printer.observe()).state is expected
    asked = [line for line in wire.lines() if "/files/" in line]
    assert len(asked) == (1 if expected is PrinterState.FINISHED else 5)


async def test_somebody_elses_file_name_is_asked_for_as_it_is() -> None:
    done = canned({"state": "Operational", "job": {"file": {"path": "their parts/ä #1?.gcode"}}, "progress": {"completion": 100}})
    with Wire(done) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            await printer.observe()
    assert wire.lines()[1].split(" ")[1].startswith("/api/files/local/their%20parts/%C3%A4%20%231%3F.gcode")


async def test_a_start_whose_answer_is_lost_is_sent_once() -> None:
    """The connection was good for the look before; a library that tries again by itself would print twice."""
    answers = iter([canned(IDLE), lambda request: request.connection.close(), canned(IDLE)])
    with Wire(lambda request: next(answers)(request)) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            await printer.observe()
            with pytest.raises(Transient):
                await printer.start(NAME)
            await printer.observe()
    assert [line.split(" ")[0] for line in wire.lines()] == ["GET", "POST", "GET"]


async def test_the_path_of_the_url_is_kept() -> None:
    with Wire(canned(IDLE)) as wire:
        for url in (f"{wire.url}/octo", f"{wire.url}/octo/"):
            async with octoprint_at(url, KEY) as printer:
                await printer.observe()
                await printer.start(NAME)
    look, start = "GET /octo/api/job HTTP/1.1", f"POST /octo/api/files/local/{NAME} HTTP/1.1"
    assert wire.lines() == [look, start, look, start]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_key_goes_nowhere_else(status: int) -> None:
    with Wire(canned(IDLE)) as elsewhere, Wire(canned(b"", status, Location=f"{elsewhere.url}/api/job")) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            seen = await printer.observe()
            with pytest.raises(Refused):
                await printer.start(NAME)
        assert elsewhere.url in seen.reason
    assert elsewhere.requests == []


@pytest.mark.parametrize("key", ["key\nX-Other: 1", "schlüssel\u20ac"])
async def test_a_key_that_is_none_is_told_without_showing_it(key: str) -> None:
    with Wire(canned(IDLE)) as wire:
        async with octoprint_at(wire.url, key) as printer:
            with pytest.raises(NeedsOperator) as told:
                await printer.start(NAME)
            assert told.value.code == "wrong_key"
            assert key.strip() not in told.value.told()
            assert told.value.__suppress_context__
    assert wire.requests == []


async def test_tls_where_there_is_none_is_for_a_person() -> None:
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with octoprint_at(f"https://127.0.0.1:{port}", KEY) as printer:
            await _bad_url(printer)


async def test_a_certificate_nobody_vouches_for_is_for_a_person(certificate: Path) -> None:
    with Wire(canned(IDLE), tls=_tls(certificate)) as wire:
        async with octoprint_at(wire.url, KEY) as printer:
            await _bad_url(printer)
    assert wire.requests == []


def test_calls_over_tls_are_bounded_too(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([canned(IDLE), dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")])
    with Wire(lambda request: next(answers)(request), tls=_tls(certificate)) as wire:
        client = octorest_client.OctoPrintClient(wire.url, KEY)
        client.session.verify = str(certificate)
        assert client.job().state == "Operational"
        monkeypatch.setattr(bounded_http, "ANSWER_S", 0.2)
        with pytest.raises(requests.exceptions.ReadTimeout):
            client.job()
        client.close()
    assert wire.connections == 1


async def _bad_url(printer: OctoPrintPrinter) -> None:
    with pytest.raises(NeedsOperator) as told:
        await printer.start(NAME)
    assert told.value.code == "bad_url"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Self-signed, with its key, in one file."""
    file = tmp_path / "octoprint.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run(made, check=True, capture_output=True)
    file.write_text(file.read_text() + (tmp_path / "certificate.pem").read_text())
    return file


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
