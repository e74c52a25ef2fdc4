"""The [web] table, and the page behind a proxy."""

from pathlib import Path

import httpx
import pytest

from agent.operator.web.access import Access
from tests.config.folder import Folder
from tests.operator.web.served import NO_TLS, button_on, serving


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('url = "https://a.example/agent"', "url: expected an address without a path"),
        ('url = "a.example"', "url: expected an address such as"),
        ('certificate_file = "a.pem"', "key_file: expected certificate_file and key_file together"),
        ('key_file = "a.key"', "key_file: expected certificate_file and key_file together"),
        ('trusted_proxies = ["proxy.example"]', "trusted_proxies no. 1: expected an address or a network"),
        ('listen = "8410"', "listen: expected host:port"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, text: str, told: str) -> None:
    (mistake,) = Folder(tmp_path).config(f"[web]\n{text}\n").told()
    assert told in mistake


def test_what_can_be_said(tmp_path: Path) -> None:
    options = ['listen = ""', 'url = "https://a.example/"', 'certificate_file = "a.pem"', 'key_file = "a.key"']
    text = "\n".join(["[web]", *options, 'trusted_proxies = ["10.0.0.0/8", "::1"]', ""])
    web = Folder(tmp_path).config(text).load().web
    assert (web.listen, web.url, web.key_file) == ("", "https://a.example", tmp_path / "a.key")
    assert web.trusted_proxies == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("", False),
        ('listen = "[::1]:8410"', False),
        ('listen = ""', False),
        ('listen = "0.0.0.0:8410"', True),
        ('listen = "0.0.0.0:8410"\nurl = "http://printers.example"', True),
        ('listen = "0.0.0.0:8410"\nurl = "https://printers.example"', False),
        ('listen = "0.0.0.0:8410"\ncertificate_file = "a.pem"\nkey_file = "a.key"', False),
    ],
)
def test_a_page_in_the_clear_is_warned_of(tmp_path: Path, text: str, warned: bool) -> None:
    warnings = Folder(tmp_path).config(f"[web]\n{text}\n").load().warnings
    assert any("in the clear" in warning for warning in warnings) == warned


async def _tries(url: str, host: str, count: int) -> list[int]:
    """Codes that are tried as from other machines, each another."""
    statuses = []
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS) as client:
        page = await client.get("/sign-in", headers={"host": host, "x-forwarded-proto": "https"})
        form, fields = button_on(page.text, "Sign in")
        cookie = page.headers["set-cookie"].partition(";")[0]
        for n in range(count):
            headers = {"host": host, "cookie": cookie, "x-forwarded-proto": "https", "x-forwarded-for": f"10.0.0.{n}"}
            headers |= {"origin": f"https://{host}"} if host != "127.0.0.1" else {}
            statuses.append((await client.post(form.action, data={**fields, "code": "2222-2222"}, headers=headers)).status_code)
    return statuses


async def test_behind_a_proxy_visitors_are_told_apart_and_their_forms_are_ours(tmp_path: Path) -> None:
    access = Access("127.0.0.1", 0, "https://printers.example", trusted_proxies=["127.0.0.1/32"])
    async with serving(tmp_path, access=access) as served:
        assert await _tries(served.url, "printers.example", 7) == [403] * 7
        phone = await served.browser(host="printers.example")
        page = await phone.client.get("/sign-in")
        assert "Secure" in page.headers["set-cookie"]


async def test_nobody_else_says_who_they_are(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert await _tries(served.url, "127.0.0.1", 7) == [403] * 5 + [429] * 2
