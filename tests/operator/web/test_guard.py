"""What every request passes, and what every answer carries."""

import itertools
import re
import socket
from html.parser import HTMLParser

import httpx
import pytest

from agent.domain.person import Scope
from agent.operator.web.access import Access, access_of
from agent.operator.web.guard import LARGEST_FORM
from agent.operator.web.limits import RateLimit
from tests.operator.web.routes import every_route
from tests.operator.web.served import Served


# --- the name it is asked for under ------------------------------------------------------------------------------
async def test_under_another_name_nothing_is_answered(served: Served) -> None:
    """A page of somebody else's that makes its own name point here (DNS rebinding)."""
    ada, hosts = (
        await served.person(),
        ["evil.example", "evil.example:1", "", "127.0.0.1.evil.example", "a@127.0.0.1", "[", "x/127.0.0.1"],
    )
    for path, host in itertools.product(("/", "/sign-in", "/api/v1/now", "/static/agent.css"), hosts):
        answer = await ada.client.get(path, headers={"host": host})
        assert (answer.status_code, answer.headers.get("content-type")) in (
            (421, "application/problem+json"),
            (400, "text/plain; charset=utf-8"),
        )


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8410", True),
        ("[::1]:8410", True),
        ("192.168.1.20", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("printers.example", True),
        ("printers.example:443", True),
        (socket.gethostname(), True),
        (f"{socket.gethostname()}.local:8410", True),
        ("example", False),
        ("xprinters.example", False),
    ],
)
def test_the_names_it_answers_to(host: str, known: bool) -> None:
    assert Access("0.0.0.0", 8410, "https://printers.example").answers_to(host) == known


def test_where_it_is_opened() -> None:
    plain = access_of("127.0.0.1:8410", "", None, None, [])
    assert (plain.opened_at(), plain.loopback, plain.secure) == ("http://127.0.0.1:8410", True, False)
    behind = access_of("[::1]:8410", "https://printers.example", None, None, [])
    assert (behind.opened_at(), behind.loopback, behind.secure) == ("https://printers.example", False, True)
    everywhere = access_of("0.0.0.0:8410", "", None, None, [])
    assert (everywhere.opened_at(), everywhere.loopback) == (f"http://{socket.gethostname()}.local:8410", False)


# --- how much is read --------------------------------------------------------------------------------------------
async def test_more_than_a_form_holds_is_not_read(served: Served) -> None:
    ada, script = await served.person(), await served.api(*Scope)
    answer = await ada.client.post("/questions/1", content=b"x" * (LARGEST_FORM + 1))
    assert answer.status_code == 413

    async def endless() -> object:
        while True:
            yield b"x" * 10_000

    for client, path in ((ada.client, "/questions/1"), (script, "/questions/1/answer"), (await served.browser(), "/sign-in")):
        sender = getattr(client, "client", client)
        try:
            answer = await sender.post(path, content=endless(), headers={"content-type": "application/x-www-form-urlencoded"})
            assert answer.status_code == 413
        except httpx.TransportError:
            pass  # the server hung up on it while it still talked
    assert "Nothing waits" in await ada.get("/")


async def test_photos_of_somebody_who_is_not_signed_in_are_not_read(served: Served) -> None:
    order_id = served.offer()
    stranger = await served.browser()
    answer = await stranger.client.post(f"/orders/{order_id}/photos", files={"photo": ("a.jpg", b"\xff\xd8\xff" + bytes(1_000_000))})
    assert answer.status_code == 401


# --- headers -----------------------------------------------------------------------------------------------------
async def test_no_answer_lets_a_browser_be_misled(served: Served) -> None:
    order_id, ada = served.offer(), await served.person()
    paths = [
        "/",
        "/orders",
        f"/orders/{order_id}",
        "/offers",
        "/printers",
        "/people",
        "/sign-in",
        "/nothing",
        "/static/agent.js",
        "/api/v1/now",
    ]
    for path in paths:
        headers = (await ada.client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")
        assert "server" not in headers
        assert "immutable" in headers["cache-control"] if "static" in path else headers["cache-control"] == "no-store"


async def test_pages_need_nothing_that_their_policy_forbids(served: Served) -> None:
    """No script and no style within the text, nothing from anywhere else, and whatever came from outside is text."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1) style=x>'
    order_id = served.offer(special_instructions=evil)
    await served.shop.settle()
    ada = await served.person()
    paths = ("/", "/orders", f"/orders/{order_id}", "/offers", "/printers", "/supplies", "/earnings", "/drop-off", "/people", "/sign-in")
    for path in paths:
        for tag, attributes in tags_of(await ada.get(path)):
            assert tag != "style"
            assert not [name for name in attributes if name == "style" or name.startswith("on")], path
            assert tag != "script" or attributes["src"].startswith("/static/")
            assert all(attributes.get(name, "/").startswith(("/", "#")) for name in ("src", "href", "action")), path
    assert "&lt;script&gt;alert(1)" in await ada.get(f"/orders/{order_id}")


def tags_of(page: str) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, {name: value or "" for name, value in attrs}))

    Tags().feed(page)
    return found


async def test_the_first_load_is_small(served: Served) -> None:
    ada = await served.person()
    page = await ada.get("/")
    loads = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(loads) >= 4
    sizes = [len((await ada.client.get(load)).content) for load in loads]
    assert len(page) + sum(sizes) < 30_000  # 100 kB are allowed


async def test_every_page_but_signing_in_asks_who_is_there(served: Served) -> None:
    stranger, open_ = await served.browser(), set()
    filled = {"order_id": served.offer(), "sha256": "a" * 64, "name": "agent.css", "question_id": "1", "printer": "mk3s", "act": "pause"}
    filled["upload_id"] = "x"
    for route in every_route():
        for method in route.methods - {"HEAD"}:
            answer = await stranger.client.request(method, route.path.format(**filled))
            if answer.status_code < 300:
                open_.add(route.path)
    assert open_ == {"/sign-in", "/static/{name}", "/favicon.ico", "/api/v1/openapi.json"}


def test_tries_are_limited_for_each_source_and_for_all_together() -> None:
    now = 0.0
    limit = RateLimit(3, 60, lambda: now)
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    now = 61
    assert limit.allows("a")
    assert [limit.allows(str(n)) for n in range(40)].count(True) == 29
