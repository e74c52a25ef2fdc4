"""Wrong addresses, keys and names, and the files and pictures that come over HTTP: what the Moonraker adapter makes of each answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import AgentError, ConfigError, NeedsOperator, Refused, Transient, Unsound
from agent.domain.printer import PrinterState
from agent.printers.moonraker import web
from agent.printers.moonraker.access import MoonrakerAccess
from agent.printers.moonraker.printer import MoonrakerPrinter
from agent.wire.mqtt import Broker
from tests.printers.moonraker_peer import CONFIG, INFO, INSTANCE, NAME, Peer, printer_at, stats, web_of
from tests.printers.wire import Wire, canned, dripping, endless

JPEG = b"\xff\xd8\xff\xe0 a picture"


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(web_of()) as running:
        yield running


@pytest.fixture
async def printer(peer: Peer, wire: Wire) -> AsyncIterator[MoonrakerPrinter]:
    async with printer_at(peer, wire.url) as entered:
        yield entered


# --- who is there -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (canned(b"<html>It works</html>"), "not Moonraker"),
        (canned({"result": [1]}), "does not answer as Moonraker"),
        (canned([1, 2]), "does not answer as Moonraker"),
        (canned(b"", 404), "not Moonraker"),
        (canned(b"", 302, Location="http://elsewhere/"), "redirect to http://elsewhere/"),
        (canned({"error": {"code": 401, "message": "Unauthorized"}}, 401), "api_key_file"),
        (canned({"error": {"code": 500, "message": "no"}}, 500), "answers 500"),
        (endless(b"HTTP/1.1 200 OK\r\n\r\n"), "too large"),
        (web_of(info={**INFO, "components": []}), "does not speak MQTT"),
        (web_of(info={**INFO, "failed_components": ["mqtt"]}), "does not speak MQTT"),
        (web_of(config={"config": {"mqtt": {"instance_name": "voron2"}}}), "calls itself 'voron2' on MQTT, not 'voron/1'"),
    ],
)
async def test_an_idle_printer_at_a_wrong_address_is_offline(peer: Peer, answer: Any, told: str) -> None:
    with Wire(answer) as wire:
        async with printer_at(peer, wire.url) as printer:
            seen = await printer.observe()
            assert seen.state is PrinterState.OFFLINE
            assert told in seen.reason
            peer.answers["printer.objects.query"] = stats("printing", NAME)
            assert (await printer.observe()).state is PrinterState.PRINTING


@pytest.mark.parametrize("config", [{}, {"config": None}, {"config": {"mqtt": []}}, {"config": {"mqtt": {"instance_name": 5}}}, [], CONFIG])
async def test_a_name_that_is_not_told_is_not_held_against_it(peer: Peer, config: object) -> None:
    with Wire(web_of(config=config)) as wire:
        async with printer_at(peer, wire.url) as printer:
            assert (await printer.observe()).state is PrinterState.IDLE


async def test_who_answers_is_not_asked_at_each_look(printer: MoonrakerPrinter, wire: Wire) -> None:
    for _ in range(5):
        await printer.observe()
    assert len(wire.requests) == 2


@pytest.mark.parametrize("url", ["http://", "not a url", "ftp://x", "http://[::1", "http://127.0.0.1:9", "http://no.such.host.invalid"])
async def test_addresses_that_lead_nowhere(peer: Peer, url: str, tmp_path: Path) -> None:
    file = tmp_path / "x.gcode"
    file.write_text("G28\n")
    async with printer_at(peer, url) as printer:
        seen = await printer.observe()
        assert (seen.state, bool(seen.reason)) == (PrinterState.OFFLINE, True)
        with pytest.raises((Transient, NeedsOperator)):
            await printer.upload(file, NAME)


@pytest.mark.parametrize("key", ["no\nkey", "schlüssel", "a\0b"])
async def test_a_key_that_is_none_is_for_a_person(peer: Peer, wire: Wire, key: str) -> None:
    async with printer_at(peer, wire.url, key) as printer:
        assert "API key" in (await printer.observe()).reason
        with pytest.raises(NeedsOperator) as wrong:
            await printer.upload(Path(__file__), NAME)
    assert wrong.value.code == "wrong_key"
    assert key not in repr(wrong.value)
    assert key not in repr(MoonrakerAccess("http://x", Broker("x", 1, password=key), INSTANCE, key))


@pytest.mark.parametrize("name", ["", "a+b", "a#"])
def test_an_instance_name_is_no_wildcard(name: str) -> None:
    with pytest.raises(ConfigError):
        MoonrakerAccess("http://x", Broker("x", 1), name)


async def test_words_of_the_printer_come_and_go_while_a_call_waits(printer: MoonrakerPrinter, peer: Peer) -> None:
    """Its last will, or its return: what was asked before is not answered any more."""
    await printer.observe()
    for status, told in (("offline", "has left the broker"), ("online", "has just come")):
        peer.answers["printer.objects.query"] = lambda _p, status=status: (
            peer._client.publish(f"{INSTANCE}/moonraker/status", json.dumps({"server": status}), 1, retain=True) and None
        )
        async with asyncio.timeout(1.5):
            seen = await printer.observe()
        assert told in seen.reason
        assert not seen.needs_attention, "it only went away"


# --- files and pictures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (canned({"error": {"code": 403, "message": "File is loaded, upload not permitted"}}, 403), Refused, "conflict"),
        (canned({"error": {"code": 422, "message": "checksum"}}, 422), Transient, "damaged"),
        (canned({"error": {"code": 401, "message": "Unauthorized"}}, 401), NeedsOperator, "wrong_key"),
        (canned(b"too large", 413), Refused, "upload_refused"),
        (canned(b"<html>", 502), Unsound, "http_502"),
        (canned(b"{", 201), NeedsOperator, "not_moonraker"),
        (canned({"item": {"path": "other.gcode"}}, 201), Refused, "renamed"),
        (canned({"item": 5}, 201), Unsound, "not_moonraker"),
        (canned({"error": {"code": 400, "message": "bad"}}, 400), Refused, "http_400"),
    ],
)
async def test_uploads_that_fail(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, error: type[AgentError], code: str
) -> None:
    monkeypatch.setattr(web, "APART_S", (0.0, 0.0))
    file = tmp_path / "x.gcode"
    file.write_text("G28\n")
    with Wire(web_of(otherwise=answer)) as wire:
        async with printer_at(peer, wire.url) as printer:
            with pytest.raises(error) as failed:
                await printer.upload(file, NAME)
    assert type(failed.value) is error
    assert failed.value.code == code
    assert not peer.count("printer.gcode.script")


@pytest.mark.parametrize("listed", ["snapshot", "absolute"])
async def test_a_picture(peer: Peer, listed: str) -> None:
    with Wire(web_of(otherwise=canned(JPEG))) as wire, Wire(canned(JPEG)) as camera:
        address = "/webcam/?action=snapshot" if listed == "snapshot" else f"{camera.url}/shot"
        peer.answers["server.webcams.list"] = {
            "webcams": [{"name": "off", "enabled": False, "snapshot_url": "/x"}, {"name": "cam", "snapshot_url": address}]
        }
        async with printer_at(peer, wire.url, "a-key") as printer:
            assert await printer.snapshot() == JPEG
        asked = (wire if listed == "snapshot" else camera).requests[-1]
        assert (b"a-key" in asked.head) == (listed == "snapshot"), "the key goes to Moonraker only"


@pytest.mark.parametrize("webcams", [[], [{"name": "a", "snapshot_url": ""}], [{"name": "a", "enabled": False, "snapshot_url": "/x"}]])
async def test_a_printer_without_a_camera(printer: MoonrakerPrinter, peer: Peer, webcams: object) -> None:
    peer.answers["server.webcams.list"] = {"webcams": webcams}
    with pytest.raises(NeedsOperator) as none:
        await printer.snapshot()
    assert none.value.code == "no_camera"


@pytest.mark.parametrize("answer", [canned(b"GIF89a"), canned(b"", 404), dripping(b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff", 0.01)])
async def test_what_is_no_picture(peer: Peer, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.wire.jpeg.LIMIT_S", 1.0)
    with Wire(answer) as camera:
        peer.answers["server.webcams.list"] = {"webcams": [{"snapshot_url": camera.url}]}
        async with printer_at(peer) as printer:
            with pytest.raises((Refused, Transient)):
                await printer.snapshot()
