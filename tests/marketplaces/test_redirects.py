"""Where a redirect may lead a download, and what goes along."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import AgentError, Refused, Transient
from agent.marketplaces import downloads
from agent.marketplaces.downloads import Downloads, is_public
from agent.marketplaces.replies import translated
from tests.rigs.http_stub import Handler, Received, Stub, closing, reply

FILE = b"solid cube" * 1000
CERTIFICATE = Path(__file__).parents[1] / "rigs" / "files.example.pem"
MB = 1_000_000


@asynccontextmanager
async def client(**more: Any) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer sesame"}
    async with httpx.AsyncClient(headers=headers, timeout=5, trust_env=False, **more) as opened:
        yield opened


async def fetch(stub: Stub, into: Path, limit_bytes: int = MB, **more: Any) -> bytes:
    """As the adapter does it: httpx's errors translated."""
    async with client(**more) as opened, translated():
        await Downloads(opened, stub.url + "/v1").fetch(stub.url + "/v1/file", into, limit_bytes)
    return into.read_bytes()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "model.stl"


# --- where a redirect may lead -----------------------------------------------------------------------------------

NOT_PUBLIC = [
    "10.0.0.1",
    "127.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fec0::1",
    "fd00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2002:a00:1::1",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_on_the_public_internet(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::93.184.215.14"])
def test_what_is(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_an_address_in_another_ones_clothes_is_no_better(inner: ipaddress.IPv4Address) -> None:
    for outer in (f"::ffff:{inner}", f"64:ff9b::{inner}", str(ipaddress.IPv6Address((0x2002 << 112) | (int(inner) << 80)))):
        assert is_public(ipaddress.ip_address(outer)) == is_public(inner)


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_that_leads_inside_is_not_followed(into: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """One good address among them does not help."""
    resolve(monkeypatch, "93.184.215.14", address)
    async with Stub(reply(307, b"", Location="https://harmless.example/model.stl")) as stub:
        with pytest.raises(Refused, match=r"harmless\.example, which leads to") as refused:
            await fetch(stub, into)
        assert len(stub.received) == 1
    assert refused.value.code == "redirect_refused"


@pytest.mark.parametrize("host", ["10.0.0.1", "[::1]", "127.1", "2130706433", "0x7f000001", "017700000001", "[::ffff:7f00:1]", "localhost"])
async def test_an_address_is_seen_through_however_it_is_written(into: Path, host: str) -> None:
    async with Stub(reply(302, b"", Location=f"http://{host}:1/model.stl")) as stub:
        with pytest.raises(Refused) as refused:
            await fetch(stub, into)
    assert refused.value.code == "redirect_refused"


@pytest.mark.parametrize(
    "location",
    [
        "ftp://files.example/x",
        "file:///etc/passwd",
        "http://[::1",
        "http://files.example:99999/",
        "http://",
        "http:///x",
        "\x07",
        "data:,x",
    ],
)
async def test_what_is_no_web_address_is_not_followed(into: Path, location: str) -> None:
    answer = f"HTTP/1.1 307 Go\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode("latin-1")
    async with Stub(closing(answer)) as stub:
        with pytest.raises(AgentError) as refused:
            await fetch(stub, into)
    assert str(refused.value).isprintable()


_PIECES = [
    "http://",
    "https://",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "[",
    "]",
    "10.0.0.1",
    "market.example",
    ".",
    "..",
    "?",
    "#",
    "%00",
    "443",
    "::1",
]


@settings(deadline=None)
@given(location=st.one_of(st.text(st.characters(max_codepoint=255), max_size=60), st.lists(st.sampled_from(_PIECES)).map("".join)))
async def test_no_location_whatever_is_more_than_refused(location: str) -> None:
    async with httpx.AsyncClient(verify=False) as opened:
        fetcher = Downloads(opened, "https://market.example/v1")
        with pytest.MonkeyPatch.context() as patch:
            resolve(patch, "10.0.0.1")
            try:
                place = await fetcher._allowed(httpx.URL("https://market.example/v1/file"), location)
            except Refused as refused:
                assert refused.code == "redirect_refused"
            else:
                assert (place.url.scheme, place.url.host) == ("https", "market.example")


async def test_https_is_not_left_for_http() -> None:
    async with client() as opened:
        fetcher = Downloads(opened, "https://market.example/v1")
        for location in ("http://files.example/x", "http://market.example/x"):
            with pytest.raises(Refused, match="leaves https"):
                await fetcher._allowed(httpx.URL("https://market.example/v1/file"), location)


async def test_round_and_round(into: Path) -> None:
    async with Stub(reply(307, b"", Location="/v1/file")) as stub:
        with pytest.raises(Refused, match="again and again"):
            await fetch(stub, into)
        assert len(stub.received) == 1 + downloads.MOST_REDIRECTS


async def test_a_name_that_is_not_found_may_be_found_later(into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
    async with Stub(reply(307, b"", Location="http://files.example/x")) as stub:
        with pytest.raises(Transient, match=r"files\.example cannot be found"):
            await fetch(stub, into)


async def test_a_name_no_resolver_takes_is_refused(into: Path) -> None:
    async with Stub(reply(307, b"", Location=f"http://{'a' * 70}.example/x")) as stub:
        with pytest.raises(AgentError):
            await fetch(stub, into)


# --- what goes along ---------------------------------------------------------------------------------------------


def resolve(patch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads to these; returns the names that were looked up."""
    asked: list[str] = []

    async def found(host: str, _port: int) -> list[Any]:
        asked.append(host)
        return [ipaddress.ip_address(address) for address in addresses]

    patch.setattr(downloads, "_addresses", found)
    return asked


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a second server can play the public internet."""
    monkeypatch.setattr(downloads, "is_public", lambda address: True)  # noqa: ARG005


async def test_the_marketplaces_own_signed_url_gets_the_token(into: Path) -> None:
    async with Stub(sends(reply(307, b"", Location="/signed?x=1"), reply(200, FILE))) as stub:
        assert await fetch(stub, into) == FILE
        assert [request.headers.get("authorization") for request in stub.received] == ["Bearer sesame"] * 2
        assert stub.received[1].target == "/signed?x=1"


@pytest.mark.usefixtures("loopback_is_public")
async def test_another_origin_gets_neither_token_nor_cookie(into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve(monkeypatch, "127.0.0.1")
    async with Stub(reply(200, FILE)) as other:
        location = f"http://files.example:{other.port}/a/b.stl?signature=s%2Fs"
        async with Stub(reply(307, b"", Location=location)) as stub:
            assert await fetch(stub, into, cookies={"session": "secret"}) == FILE
        (request,) = other.received
    assert {"authorization", "cookie"}.isdisjoint(request.headers)
    assert request.headers["host"] == f"files.example:{other.port}"
    assert request.target == "/a/b.stl?signature=s%2Fs"
    assert asked == ["files.example"]  # once: where it was looked at is where it was asked


@pytest.mark.usefixtures("loopback_is_public")
async def test_another_port_of_the_same_machine_is_another_origin(into: Path) -> None:
    async with Stub(reply(200, FILE)) as other, Stub(reply(307, b"", Location=f"{other.url}/x")) as stub:
        assert await fetch(stub, into) == FILE
        assert "authorization" not in other.received[0].headers


@pytest.mark.usefixtures("loopback_is_public")
async def test_the_next_address_is_tried_where_one_is_dead(into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "127.0.0.2", "127.0.0.1")  # nobody listens on the first
    async with Stub(reply(200, FILE)) as other, Stub(reply(307, b"", Location=f"http://files.example:{other.port}/x")) as stub:
        assert await fetch(stub, into) == FILE


@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 500, 503])
async def test_a_signed_url_that_has_run_out_is_asked_for_anew(into: Path, status: int) -> None:
    """It says nothing about the token, and nothing for good."""
    async with Stub(reply(status)) as other, Stub(reply(307, b"", Location=f"{other.url}/x")) as stub:
        with pytest.raises(Transient) as failed:
            await fetch(stub, into)
    assert failed.value.code == "link_failed"


@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize(("name", "comes"), [("files.example", True), ("other.example", False)])
async def test_the_certificate_must_be_the_names_although_the_address_is_asked(
    into: Path, monkeypatch: pytest.MonkeyPatch, name: str, comes: bool
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    async with Stub(reply(200, FILE), tls=server) as other, Stub(reply(307, b"", Location=f"https://{name}:{other.port}/x")) as stub:
        if comes:
            assert await fetch(stub, into, verify=trusting) == FILE
        else:
            with pytest.raises(Transient, match="certificate"):
                await fetch(stub, into, verify=trusting)
            assert other.received == []


def sends(*answers: bytes) -> Handler:
    """One answer a connection, in turn."""
    waiting = list(answers)

    async def handler(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(waiting.pop(0).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        await writer.drain()

    return handler
