"""Pages that stay true by themselves, and a server that comes and goes with the daemon."""

import asyncio
import contextlib
import dataclasses
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.printer import BedState, PrinterState
from agent.operator.web.access import Access
from agent.operator.web.server import WebPage
from tests.operator.web.served import Browser, Served, serving


@contextlib.asynccontextmanager
async def listening(browser: Browser) -> AsyncIterator[AsyncIterator[str]]:
    page = await browser.get("/printers")
    mark = page.partition('data-mark="')[2].partition('"')[0]
    async with browser.client.stream("GET", "/live", params={"mark": mark}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        yield stream.aiter_lines()


async def change(lines: AsyncIterator[str], within_s: float = 8) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            async for line in lines:
                if line == "event: changed":
                    return True
    return False


@pytest.mark.slow
async def test_a_page_hears_of_every_change_and_of_nothing_else(served: Served) -> None:
    ada = await served.person()
    async with listening(ada) as lines:
        assert not await change(lines, 1.5)
    async with listening(ada) as lines:
        served.ledger.set_bed("mk3s", BedState.FREE, "Bob")
        assert await change(lines)
        served.offer()
        assert await change(lines)
        served.shop.outside.printer.state = PrinterState.PRINTING
        assert await change(lines)


async def test_what_changed_before_the_page_listened_is_not_missed(served: Served) -> None:
    ada = await served.person()
    await ada.get("/printers")
    async with ada.client.stream("GET", "/live", params={"mark": "the mark of an older page"}) as stream:
        assert await change(stream.aiter_lines(), 2)


async def test_a_stream_ends_with_its_session(served: Served) -> None:
    ada = await served.person()
    async with listening(ada) as lines:
        served.ledger.sign_out("Ada Example")
        served.offer()
        async with asyncio.timeout(5):
            assert not [line async for line in lines if line == "event: changed"]
    assert (await ada.client.get("/live", headers={"accept": "text/event-stream"})).status_code == 401


async def test_open_streams_do_not_hold_the_daemon_up(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving(tmp_path) as served:
            ada = await served.person()
            lines = await stack.enter_async_context(listening(ada))
            began = time.monotonic()
            await served.stop()
            assert [line async for line in lines if line.startswith("event")] == []
        assert time.monotonic() - began < 3


async def test_a_taken_port_is_told_once_and_stops_nothing(served: Served) -> None:
    """The first page has the port; the second agent's orders go on, and its page comes when the port is free."""
    desk = dataclasses.replace(served.desk, name="other", printers={})
    port = int(served.url.rpartition(":")[2])
    page = WebPage(Access("127.0.0.1", port), desk)
    task = asyncio.create_task(page.run())
    await asyncio.sleep(0.2)
    assert not task.done()
    (notice,) = served.shop.inbox.notices
    assert (notice.event, "[web] listen" in notice.text) == ("page_not_served", True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.slow
def test_nothing_heavy_is_loaded_before_somebody_comes(tmp_path: Path) -> None:
    """A process of its own: this one has loaded it long ago."""
    program = (
        "import asyncio, sys\n"
        "import agent.daemon\n"
        "heavy = {'fastapi', 'jinja2', 'uvicorn', 'starlette', 'segno', 'multipart', 'python_multipart'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"
