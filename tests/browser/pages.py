"""Every page there is to see, as a person finds them: by following links."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from playwright.sync_api import Page

_NOT_PAGES = re.compile(r"/(static|live|api)/|/files/|\.(zip|pdf)$|/dossier")
_ANY = re.compile(r"/orders/[^/]+")


def kind_of(path: str) -> str:
    """Pages made of one template are one kind."""
    return _ANY.sub("/orders/…", path)


def every_page(page: Page, url: str) -> Iterator[str]:
    """Path of one page of each kind that links lead to from the first one; the page is open when it is given."""
    waiting, seen = ["/"], {"/"}
    while waiting:
        path = waiting.pop(0)
        page.goto(url + path)
        yield path
        for link in page.locator("a[href]").evaluate_all("links => links.map((link) => link.href)"):
            there = urlsplit(link)
            if not link.startswith(url) or _NOT_PAGES.search(there.path) or kind_of(there.path) in seen:
                continue
            seen.add(kind_of(there.path))
            waiting.append(there.path + (f"?{there.query}" if there.query else ""))
