"""axe-core in a page: what its rules find."""

from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

_SCRIPT = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """One line a place; empty where nothing is found. `rules`: only these; None: all that axe has, its best practices too."""
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(_SCRIPT)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules is not None:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = page.evaluate("async (options) => (await axe.run(document, options)).violations", options)
    return [f"{page.url} {rule['id']}: {node['html']} ({node['failureSummary']})" for rule in found for node in rule["nodes"]]
