"""The page as it is served: a real uvicorn over a workshop, and browsers that keep cookies and fill in the forms they were shown."""

import asyncio
import contextlib
import re
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from agent.domain.person import Role, Scope, hashed, new_secret, shown_code
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.desk import Backroom, Desk
from agent.operator.metrics.metrics import Metrics
from agent.operator.web.access import Access
from agent.operator.web.pairing import new_pairing
from agent.operator.web.server import WebPage
from agent.workflow.planned import scene
from agent.workflow.reprint import foreseen
from tests.workflow.workshop import Outside, Workshop, make_offer

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that never use it: httpx would read all of the system's authorities for each."""


@dataclass
class Form:
    """A form as it stands in a page."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, value, and what is written on it."""


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._button: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(given["action"])
            self.forms.append(self._form)
        elif self._form is not None and tag == "input" and given.get("type") == "hidden":
            self._form.fields.append((given["name"], given["value"]))
        elif tag == "button":
            self._button = [given.get("name", ""), given.get("value", ""), ""]

    def handle_data(self, data: str) -> None:
        if self._button is not None:
            self._button[2] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "button" and self._button is not None and self._form is not None:
            name, value, text = self._button
            self._form.buttons.append((name, value, text))
            self._button = None
        elif tag == "form":
            self._form = None


def forms_of(page: str) -> list[Form]:
    parser = _Forms()
    parser.feed(page)
    return parser.forms


class Browser:
    """One device. JavaScript is off."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, status: int = 200) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.text

    async def press(self, path: str, button: str, status: int = 303, **typed: str) -> httpx.Response:
        """Load that page, fill in its form with that button, and send it."""
        return await self.send(button_on(await self.get(path), button), status, **typed)

    async def send(self, pressed: tuple[Form, dict[str, str]], status: int = 303, **typed: str) -> httpx.Response:
        form, data = pressed
        answer = await self.client.post(form.action, data={**data, **typed})
        assert answer.status_code == status, f"{form.action}: {answer.status_code} {answer.text[-1500:]}"
        return answer

    async def photograph(
        self, order_id: str, photos: Sequence[bytes], agree: Sequence[str], status: int = 303, **typed: str
    ) -> httpx.Response:
        """With what the page shows already."""
        form, data = button_on(await self.get(f"/orders/{order_id}/photos"), "Hand in")
        files = [("photo", (f"IMG_{n}.jpg", photo, "image/jpeg")) for n, photo in enumerate(photos)]
        kept = [value for name, value in form.fields if name == "kept"]
        answer = await self.client.post(form.action, data={**data, "kept": kept, "agree": list(agree), **typed}, files=files)
        assert answer.status_code == status, f"{answer.status_code} {answer.text[-1500:]}"
        return answer

    async def sign_in(self, code: str, name: str = "", status: int = 303) -> httpx.Response:
        return await self.press("/sign-in", "Sign in", status, code=code, name=name)


def button_on(page: str, button: str) -> tuple[Form, dict[str, str]]:
    """The form with the button that is so written, and what it sends."""
    for form in forms_of(page):
        for name, value, text in form.buttons:
            if button in text:
                return form, {**dict(form.fields), **({name: value} if name else {})}
    shown = re.sub(r"<[^>]+>|\s+", " ", page)
    raise AssertionError(f"no button {button!r} on this page: {shown[:800]}")


class Served:
    """A workshop and its page."""

    def __init__(self, shop: Workshop, desk: Desk, page: WebPage, stop: Callable[[], Awaitable[None]]) -> None:
        self.shop = shop
        self.desk = desk
        self.stop = stop
        """Ends the page as the daemon does."""
        self.ledger = shop.ledger
        self.url = f"http://127.0.0.1:{page.port}"
        self._open = contextlib.AsyncExitStack()

    async def aclose(self) -> None:
        await self._open.aclose()

    async def browser(self, **headers: str) -> Browser:
        client = httpx.AsyncClient(
            base_url=self.url, headers={"user-agent": "a phone", "accept": "text/html,*/*;q=0.8", **headers}, timeout=20
        )
        return Browser(await self._open.enter_async_context(client))

    async def person(self, name: str = "Ada Example", role: Role = Role.OPERATOR) -> Browser:
        """Signed in on a device of their own."""
        browser = await self.browser()
        await browser.sign_in(self.code(role), name)
        return browser

    def code(self, role: Role = Role.OPERATOR, name: str = "", minutes: float = 15) -> str:
        return shown_code(new_pairing(self.ledger, self.shop.shop.now(), role, name, minutes))

    def token(self, *scopes: Scope) -> dict[str, str]:
        """Headers of a script."""
        secret = new_secret()
        self.ledger.add_token(f"script-{secret[:6]}", hashed(secret), scopes, "Ada Example")
        return {"authorization": f"Bearer {secret}"}

    async def api(self, *scopes: Scope) -> httpx.AsyncClient:
        client = httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=self.token(*scopes), timeout=20, verify=NO_TLS)
        return await self._open.enter_async_context(client)

    def offer(self, **more: Any) -> str:
        """An offer the agent has received; its order's id."""
        known = {order.id for order in self.ledger.orders()}
        self.shop.outside.market.add(make_offer(**more))
        self.shop.receive()
        (new,) = {order.id for order in self.ledger.orders()} - known
        return new


@cache
def _empty_ledger() -> bytes:
    """With its schema. Making it is most of what a test would take, so it is made once."""
    with tempfile.TemporaryDirectory() as folder:
        with SqlLedger(sqlite_url(Path(folder))):
            pass
        return sqlite_file(Path(folder)).read_bytes()


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    access: Access | None = None,
    back: Callable[[Workshop], Backroom] | None = None,
    metrics: Callable[[Workshop], Metrics] | None = None,
    **workshop: Any,
) -> AsyncIterator[Served]:
    sqlite_file(folder).write_bytes(_empty_ledger())
    with Workshop(Outside(folder), **workshop) as shop:
        desk = Desk(
            name="garage",
            ledger=shop.ledger,
            people=shop.ledger,
            store=shop.store,
            printers=shop.shop.printers,
            notifier=shop.inbox,
            now=shop.shop.now,
            wake=lambda: None,
            back=back(shop) if back else Backroom(),
            uploads=shop.ledger,
            uploads_dir=folder / "photo-uploads",
            foresee=lambda order, pieces: foreseen(order, pieces, scene(shop.shop)),
            metrics=metrics(shop) if metrics else None,
        )
        page = WebPage(access or Access("127.0.0.1", 0), desk)
        async with running(page) as stop:
            served = Served(shop, desk, page, stop)
            try:
                yield served
            finally:
                await served.aclose()


@contextlib.asynccontextmanager
async def running(page: WebPage) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """As a task, the way the daemon has it, and ended as the daemon ends it. What it died of is raised here."""
    task = asyncio.create_task(page.run())
    listens = asyncio.create_task(page.listening.wait())
    await asyncio.wait({task, listens}, return_when=asyncio.FIRST_COMPLETED)
    listens.cancel()

    async def stop() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    try:
        yield stop
    finally:
        await stop()
