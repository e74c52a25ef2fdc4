"""A file comes whole or not at all, in bounded time and space, and from nowhere inside the operator's own network."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.marketplaces import downloads
from agent.marketplaces.downloads import Downloads
from agent.marketplaces.replies import translated
from tests.rigs.http_stub import Handler, Received, Stub, closing, drip, hang, reply

FILE = b"solid cube" * 1000
CERTIFICATE = Path(__file__).parents[1] / "rigs" / "files.example.pem"
MB = 1_000_000
LONG = 30.0


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


# --- whole, and no larger than allowed ---------------------------------------------------------------------------


async def test_the_bytes_are_the_bytes(into: Path) -> None:
    async with Stub(reply(200, FILE)) as stub:
        assert await fetch(stub, into) == FILE
        (asked,) = stub.received
        assert asked.headers["authorization"] == "Bearer sesame"


async def test_what_is_announced_too_large_is_not_even_begun(into: Path) -> None:
    async with Stub(drip(LONG, b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n")) as stub:
        with pytest.raises(Refused, match=r"larger than 1 MB") as refused:
            await fetch(stub, into)
    assert refused.value.code == "file_too_large"
    assert "[files] max_file_mb" in refused.value.hint
    assert not into.exists()


async def test_what_grows_too_large_is_left(into: Path) -> None:
    async def endless(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
            await writer.drain()

    async with Stub(endless) as stub:
        with pytest.raises(Refused) as refused:
            await fetch(stub, into)
    assert refused.value.code == "file_too_large"
    assert into.stat().st_size <= MB


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
async def test_what_is_cut_off_is_no_file(into: Path, answer: bytes) -> None:
    async with Stub(closing(answer)) as stub:
        with pytest.raises(Transient):
            await fetch(stub, into)


@pytest.mark.parametrize("told", ["a lot", "-1", "1e9", "0x10", "10, 20", "", "²", "9" * 5000, "+5", "5 5"])
async def test_garbage_for_a_length_is_an_error_of_ours(into: Path, told: str) -> None:
    async with Stub(closing(f"HTTP/1.1 200 OK\r\nContent-Length: {told}\r\n\r\n".encode() + FILE)) as stub:
        with pytest.raises(AgentError):
            await fetch(stub, into)


@pytest.mark.parametrize(("told", "found"), [("12", 12), ("a lot", None), ("-1", None), ("²", None), ("9" * 5000, None)])
def test_the_length_is_read_where_it_is_one(told: str, found: int | None) -> None:
    assert downloads._announced(httpx.Response(200, headers=[(b"Content-Length", told.encode())])) == found


async def test_a_file_that_comes_compressed_is_refused(into: Path) -> None:
    async with Stub(reply(200, FILE, Content_Encoding="gzip")) as stub:
        with pytest.raises(Refused) as refused:
            await fetch(stub, into)
    assert refused.value.code == "compressed_file"


async def test_an_answer_that_is_no_file_is_the_marketplaces_own_no(into: Path) -> None:
    async with Stub(reply(403, b'{"code": "not_before_accept", "detail": "Later."}')) as stub:
        with pytest.raises(Refused, match="Later") as refused:
            await fetch(stub, into)
    assert refused.value.code == "not_before_accept"
    assert not into.exists()


async def test_an_error_without_an_end_is_not_read_to_the_end(into: Path) -> None:
    async def endless(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 No\r\n\r\n")
        while True:
            writer.write(bytes(65_536))
            await writer.drain()

    async with Stub(endless) as stub:
        with pytest.raises(Refused) as refused:
            await fetch(stub, into)
    assert refused.value.code == "http_404"


# --- in bounded time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [drip(0.01), hang, drip(0.01, b"HTTP/1.1 404 No\r\n\r\n"), drip(0.01, b"HTTP/1.1 200 OK\r\nX-")])
async def test_a_server_that_drips_or_hangs_is_left(into: Path, server: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "LEAST_S", 0.3)
    async with Stub(server) as stub:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Transient) as late:
            await fetch(stub, into)
        assert 0.25 < asyncio.get_running_loop().time() - begun < 5
    assert late.value.code == "timeout"


async def test_a_large_file_at_an_honest_pace_has_its_time(into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "LEAST_S", 0.5)

    async def steady(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 655360\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.1)
            writer.write(bytes(65_536))
            await writer.drain()

    async with Stub(steady) as stub:
        assert len(await fetch(stub, into)) == 655_360


# --- the disk ----------------------------------------------------------------------------------------------------


async def test_a_full_disk_says_so() -> None:
    async with Stub(reply(200, FILE)) as stub:
        with pytest.raises(NeedsOperator, match="is full") as full:
            await fetch(stub, Path("/dev/full"))
    assert full.value.code == "disk_full"


def test_a_full_quota_is_a_full_disk(into: Path) -> None:
    with pytest.raises(NeedsOperator) as full, downloads._writing(into):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    assert full.value.code == "disk_full"


async def test_a_folder_that_is_gone_is_no_full_disk(tmp_path: Path) -> None:
    async with Stub(reply(200, FILE)) as stub:
        with pytest.raises(NeedsOperator, match="could not be written: No such file or directory") as gone:
            await fetch(stub, tmp_path / "gone" / "model.stl")
    assert gone.value.code == "cannot_write"
