"""What announces itself is found, and what others say can break nothing."""

import asyncio
import ipaddress
import json
import socket
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.printer import BambuSettings
from agent.discovery import ssdp
from agent.discovery.dns_sd import MQTT, browse
from agent.discovery.network import look_around
from agent.discovery.servers import which
from tests.discovery.announcing import LOOPBACK, announced, notify, said_to, service
from tests.rigs.nursery import ran
from tests.rigs.processes import free_port

_LISTEN_S = 5.0
"""Of time, not of work: on a busy machine announcements and answers take their time."""

pytestmark = pytest.mark.xdist_group("multicast")


@contextmanager
def web_server(answers: dict[str, tuple[int, bytes]]) -> Iterator[int]:
    """Its port. What it does not know is 404, as a page."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, b"<html>nothing here</html>"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


OCTOPRINT = {"/plugin/appkeys/probe": (204, b"")}
MOONRAKER = {
    "/server/info": (200, json.dumps({"result": {"moonraker_version": "v0.9.3", "klippy_connected": True}}).encode()),
    "/printer/info": (200, json.dumps({"result": {"hostname": "voron", "state": "ready"}}).encode()),
}


@pytest.mark.slow
async def test_printers_and_brokers_are_found_and_asked_what_they_are() -> None:
    """A router's page that announces itself as a web server is no printer."""
    bambu_port = free_port()
    with web_server(OCTOPRINT) as octoprint, web_server(MOONRAKER) as moonraker, web_server({}) as router:
        services = [
            service("octoprint", 'OctoPrint instance "garage" on octopi', octoprint, told={"path": "/"}),
            service("moonraker", "Moonraker on voron", moonraker, server="voron.local."),
            service("http", "Router", router, server="router.local."),
            service("mqtt", "Mosquitto", 18831),
        ]
        async with announced(*services), asyncio.TaskGroup() as together:
            saying = together.create_task(said_to(bambu_port, notify()))
            found = await look_around(_LISTEN_S, LOOPBACK, [bambu_port])
            saying.cancel()
    by_kind = {printer.kind: printer for printer in found.printers if printer.says != "on this machine"}
    assert set(by_kind) == {"octoprint", "moonraker", "bambu"}
    assert (by_kind["octoprint"].name, by_kind["octoprint"].url) == ("octopi", f"http://127.0.0.1:{octoprint}")
    assert by_kind["octoprint"].says == 'OctoPrint instance "garage" on octopi'
    assert (by_kind["moonraker"].instance, by_kind["moonraker"].wants_key) == ("voron", False)
    bambu = by_kind["bambu"]
    assert (bambu.name, bambu.host, bambu.serial, bambu.model) == ("garage", "192.168.1.50", "01P00A000000001", "P1S")
    assert ("127.0.0.1", 18831) in {(broker.host, broker.port) for broker in found.brokers}
    assert not found.troubles


@pytest.mark.slow
async def test_one_printer_that_announces_itself_twice_is_one_and_names_are_told_apart() -> None:
    with web_server(OCTOPRINT) as first, web_server(OCTOPRINT) as second:
        services = [service("octoprint", "a", first), service("http", "b", first), service("octoprint", "c", second)]
        async with announced(*services):
            found = await look_around(_LISTEN_S, LOOPBACK, [free_port()])
    ours = [printer for printer in found.printers if printer.says != "on this machine"]
    assert sorted(printer.name for printer in ours) == ["octopi", "octopi-2"]


async def test_a_port_that_is_taken_is_told_and_the_rest_is_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        port, other = taken.getsockname()[1], free_port()
        saying = asyncio.create_task(said_to(other, notify()))
        printers, troubles = await ssdp.listen(2.0, [port, other])
        saying.cancel()
    assert [printer.serial for printer in printers] == ["01P00A000000001"]
    assert f"UDP port {port}" in troubles[0]


async def test_hostile_multicast_dns_breaks_nothing() -> None:
    """Garbage, lies about lengths, and names that loop or never end, among a real announcement."""
    hostile = [
        b"",
        b"\x00" * 12,
        b"\xff" * 1500,
        b"\x00\x00\x84\x00\x00\x00\xff\xff\x00\x00\x00\x00" + b"\xc0\x0c" * 50,
        b"\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00" + b"\x3f" + b"A" * 63 + b"\x00",
        b"\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00\x0a_octoprint\x04_tcp\x05local\x00\x00\x0c\x00\x01\x00\x00\x11\x94\xff\xff\xc0\x0c",
        b"\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00\x0a_octoprint\x04_tcp\x05local\x00\x00\x0c\x00\x01\x00\x00\x11\x94\x00\x06"
        b"\x03\x1b[2\xc0\x0c",
    ]

    async def shout() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            for _ in range(5):
                for datagram in hostile:
                    mouth.sendto(datagram, ("224.0.0.251", 5353))
                await asyncio.sleep(0.1)

    async with announced(service("mqtt", "\u202eBroker " + "x" * 40, 18832, told={"path": "../../etc" * 20})):
        found, _ = await asyncio.gather(browse(_LISTEN_S, LOOPBACK), shout())
    (broker,) = [each for each in found if each.type == MQTT and each.port == 18832]
    assert broker.path == ""
    assert broker.says.isprintable()
    assert all(each.says.isprintable() for each in found)


@pytest.mark.parametrize(
    "answers",
    [
        {"/server/info": (200, b"[]")},
        {"/server/info": (200, b'{"result": {"moonraker_version": 7}}')},
        {"/server/info": (200, b"[" * 50_000)},
        {"/server/info": (200, b" " * 200_000)},
        {"/server/info": (401, b'{"error": "who are you"}')},
        {"/api/version": (200, b'{"text": "Something else"}')},
        {"/plugin/appkeys/probe": (302, b"")},
    ],
)
async def test_a_server_that_is_something_else_is_none(answers: dict[str, tuple[int, bytes]]) -> None:
    with web_server(answers) as port:
        assert await which(f"http://127.0.0.1:{port}") is None


async def test_a_moonraker_that_wants_a_key_is_one() -> None:
    body = json.dumps({"error": {"code": 401, "message": "Unauthorized", "traceback": ""}}).encode()
    with web_server({"/server/info": (401, body)}) as port:
        server = await which(f"http://127.0.0.1:{port}")
    assert server is not None
    assert (server.kind, server.wants_key) == ("moonraker", True)


@given(st.binary(max_size=2000))
@settings(max_examples=200)
def test_any_datagram_is_a_printer_or_nothing(datagram: bytes) -> None:
    assert ssdp.read(datagram, "192.168.1.7") is None or b"bambulab" in datagram


@given(
    serial=st.text(max_size=40),
    model=st.text(max_size=40),
    name=st.text(max_size=300),
    location=st.one_of(st.text(max_size=60), st.just("8.8.8.8"), st.just("192.168.1.9")),
)
@settings(max_examples=200)
def test_whatever_a_datagram_says_what_is_found_fits_the_configuration(serial: str, model: str, name: str, location: str) -> None:
    found = ssdp.read(notify(serial, model, name, location), "192.168.1.7")
    assert found is None or set(found.name) <= set(string.ascii_lowercase + string.digits + "._-")
    if found is not None:
        assert found.host in ("192.168.1.7", location)
        assert ipaddress.ip_address(found.host).is_private
        assert found.says.isprintable()
        assert len(found.says) <= 80
        assert found.model in ("", "P1P", "P1S", "X1C", "X1E", "A1", "A1 mini", "P2S", "H2D")


def test_a_printer_that_points_elsewhere_is_taken_at_the_address_it_spoke_from() -> None:
    found = ssdp.read(notify(location="8.8.8.8"), "192.168.1.7")
    assert found is not None
    assert found.host == "192.168.1.7"
    assert ssdp.read(notify(location="8.8.8.8"), "8.8.4.4") is None


def test_every_model_that_is_named_is_one_of_the_configuration() -> None:
    models = BambuSettings.model_fields["model"].annotation
    assert all(model in str(models) for model in ssdp._MODELS.values())


def test_the_command_tells_what_is_found(tmp_path: Path) -> None:
    """Without zeroconf's noise, as one document."""

    done = ran("agent", "setup", "--find", "--json", "--seconds", "0.2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"printers", "brokers", "troubles", "slicers"}
