"""Somebody who has the page open: signed in, and listening for what changes."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.operator.web.served import button_on


@contextmanager
def visitor(url: str, pairing_code: str) -> Iterator[httpx.Client]:
    """Has looked at every page of the menu, and listens live until left."""
    with httpx.Client(base_url=url, headers={"accept": "text/html"}, timeout=60) as browser:
        form, fields = button_on(browser.get("/sign-in").text, "Sign in")
        assert browser.post(form.action, data={**fields, "code": pairing_code, "name": "Ada Example"}).status_code == 303
        now = browser.get("/").text
        mark = now.partition('data-mark="')[2].partition('"')[0]
        for path in ("/orders", "/offers", "/printers", "/supplies", "/earnings", "/people"):
            browser.get(path).raise_for_status()
        with browser.stream("GET", "/live", params={"mark": mark}) as stream:
            assert next(stream.iter_lines()).startswith("retry")
            yield browser
