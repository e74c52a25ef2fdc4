"""Who gets in, and with what they were shown."""

import asyncio
from datetime import timedelta

import pytest

from agent.domain.person import Role, hashed
from agent.domain.printer import BedState
from agent.ledger.sign_in import IDLE
from tests.operator.web.served import Browser, Served, button_on


async def test_the_first_code_is_told_and_lets_one_device_in_once(served: Served) -> None:
    code, phone, stranger = served.code(), await served.browser(), await served.browser()
    assert (await phone.client.get("/")).headers["location"] == "/sign-in"
    answer = await phone.sign_in(f" {code.upper()} ", "Ada Example")
    (cookie,) = [line for line in answer.headers.get_list("set-cookie") if line.startswith("intagly=")]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Signed in as Ada Example" in await phone.get("/")
    assert "not valid" in (await stranger.sign_in(code, "Bob Example", 403)).text
    assert [person.name for person in served.ledger.people()] == ["Ada Example"]


async def test_no_secret_is_kept_as_it_is(served: Served) -> None:
    code, phone = served.code(), await served.browser()
    await phone.sign_in(code, "Ada Example")
    served.ledger._engine.dispose()
    kept = b"".join(path.read_bytes() for path in served.shop.outside.folder.glob("ledger.sqlite3*"))
    secrets = [code.replace("-", ""), phone.client.cookies["intagly"], served.token().popitem()[1].split()[1]]
    assert not [secret for secret in secrets if secret.encode() in kept]
    assert hashed(phone.client.cookies["intagly"]).encode() in kept


@pytest.mark.parametrize("name", ["", "root", "intagly agent", "42", "x" * 201, "Ada\u202eExample"])
async def test_a_name_is_a_persons(served: Served, name: str) -> None:
    code, phone = served.code(), await served.browser()
    await phone.sign_in(code, name, 422)
    assert served.ledger.people() == []
    await phone.sign_in(code, "Ada Example")  # the code was not spent by it


async def test_a_code_for_somebody_new_makes_nobody_who_is_here_already(served: Served) -> None:
    ada, stranger = await served.person(), await served.browser()
    assert "There is a Ada Example here already" in (await stranger.sign_in(served.code(), "ADA EXAMPLE", 409)).text
    second = await served.browser()
    await second.sign_in(served.code(name="Ada Example"), "Somebody Else")
    assert "Signed in as Ada Example" in await second.get("/")
    assert len(served.ledger.sessions()) == 2
    assert "Ada Example" in await ada.get("/people")


async def test_codes_end_and_those_told_while_there_was_nobody_end_with_the_first_person(served: Served) -> None:
    late, early = served.code(minutes=-1), served.code()
    await (await served.browser()).sign_in(late, "Ada Example", 403)
    await served.person()
    await (await served.browser()).sign_in(early, "Bob Example", 403)


async def test_codes_cannot_be_guessed_in_numbers(served: Served) -> None:
    phone, statuses = await served.browser(), []
    pressed = button_on(await phone.get("/sign-in"), "Sign in")
    for n in range(8):
        answer = await phone.client.post(pressed[0].action, data={**pressed[1], "code": f"2222-222{n}", "name": "Ada Example"})
        statuses.append(answer.status_code)
    assert statuses == [403] * 5 + [429] * 3


async def test_signed_out_is_signed_out(served: Served) -> None:
    ada = await served.person()
    secret = ada.client.cookies["intagly"]
    await ada.press("/", "Sign out")
    ada.client.cookies.set("intagly", secret)
    assert (await ada.client.get("/")).headers["location"] == "/sign-in"


async def test_a_role_holds_from_the_next_request_on(served: Served) -> None:
    ada = await served.person()
    served.ledger.set_role("ada example", Role.VIEWER)
    page = await ada.get("/printers")
    assert "to look only" in page
    assert "is clear" not in page
    served.ledger.remove_person("Ada Example")
    assert (await ada.client.get("/")).status_code == 303
    assert served.ledger.sessions() == []


async def test_a_forged_session_is_none(served: Served) -> None:
    await served.person()
    phone = await served.browser()
    for secret in ("", "x", "0" * 43, "'; DROP TABLE sessions", "é", "\x80"):
        answer = await phone.client.get("/", headers=[(b"cookie", b"intagly=" + secret.encode("latin-1"))])
        assert answer.headers["location"] == "/sign-in", secret


async def test_a_session_that_is_not_used_ends(served: Served) -> None:
    ada, real = await served.person(), served.ledger._now
    served.ledger._now = lambda: real() + IDLE - timedelta(minutes=1)  # type: ignore[method-assign]
    await ada.get("/")
    served.ledger._now = lambda: real() + 2 * IDLE - timedelta(minutes=2)  # type: ignore[method-assign]
    await ada.get("/")  # it was used in between
    served.ledger._now = lambda: real() + 4 * IDLE  # type: ignore[method-assign]
    assert (await ada.client.get("/")).status_code == 303


# --- forms -------------------------------------------------------------------------------------------------------
async def _nothing_happens(served: Served, browser: Browser, **headers: str) -> None:
    before = served.ledger.beds()
    mark = {"bed_mark": "", "back": "/"}
    answer = await browser.client.post("/printers/mk3s/bed", data=mark, headers=headers)
    assert answer.status_code == 403
    assert served.ledger.beds() == before


async def test_a_form_is_only_taken_from_the_page_this_person_was_shown(served: Served) -> None:
    ada, bob = await served.person(), await served.person("Bob Example")
    form, fields = button_on(await bob.get("/printers"), "is clear")
    await _nothing_happens(served, ada)
    answer = await ada.client.post(form.action, data=fields)
    assert answer.status_code == 403
    assert "This form is not from a page you have open now" in answer.text
    form, fields = button_on(await ada.get("/printers"), "is clear")
    for origin in ("https://evil.example", "null", served.url.replace("http:", "https:")):
        assert (await ada.client.post(form.action, data=fields, headers={"origin": origin})).status_code == 403
    assert served.ledger.beds() == {}
    assert (await ada.client.post(form.action, data=fields, headers={"origin": served.url})).status_code == 303
    assert served.ledger.beds()["mk3s"].said_by == "Ada Example"


async def test_a_form_leads_back_to_our_own_pages_only(served: Served) -> None:
    ada = await served.person()
    for back in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/é"):
        answer = await ada.send(button_on(await ada.get("/printers"), "is clear"), back=back)
        assert answer.headers["location"] == "/", back
        served.ledger.set_bed("mk3s", BedState.UNKNOWN, "a test")


async def test_a_link_from_elsewhere_finds_its_person_although_the_cookie_stays_at_home(served: Served) -> None:
    phone = await served.browser(**{"sec-fetch-site": "cross-site"})
    assert 'http-equiv="refresh"' in await phone.get("/orders")


# --- letting others in -------------------------------------------------------------------------------------------
async def test_a_person_lets_a_device_of_theirs_in_and_an_operator_somebody_new(served: Served) -> None:
    ada = await served.person()
    page = (await ada.press("/people", "Make a code", 200, whose="me")).text
    assert "<svg" in page
    assert "style=" not in page
    tablet = await served.browser()
    await tablet.sign_in(_code_on(page))
    assert "Signed in as Ada Example" in await tablet.get("/")
    page = (await ada.press("/people", "Make a code", 200, whose="new", role="viewer")).text
    bob = await served.browser()
    await bob.sign_in(_code_on(page), "Bob Example")
    assert "to look only" in await bob.get("/")
    await bob.press("/people", "Make a code", 403, whose="new", role="operator")
    mine = await served.browser()
    await mine.sign_in(_code_on((await bob.press("/people", "Make a code", 200, whose="me", role="operator")).text))
    assert "to look only" in await mine.get("/")


def _code_on(page: str) -> str:
    return page.partition('<p class="code">')[2].partition("</p>")[0]


async def test_two_devices_with_one_code_at_once(served: Served) -> None:
    code, phones = served.code(), [await served.browser() for _ in range(4)]
    pressed = [button_on(await phone.get("/sign-in"), "Sign in") for phone in phones]
    answers = await asyncio.gather(
        *(
            phone.client.post(form.action, data={**fields, "code": code, "name": f"Person {chr(65 + n)}"})
            for n, (phone, (form, fields)) in enumerate(zip(phones, pressed, strict=True))
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 403, 403, 403]
    assert len(served.ledger.people()) == 1
