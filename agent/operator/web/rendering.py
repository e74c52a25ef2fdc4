"""Pages from templates. Everything that is filled in is escaped; nothing of it is ever code."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent.operator.web.visitors import Visitor, form_token

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_STATES = {
    "accepted": "accepted, fetching its files",
    "fetched": "checking its models",
    "checked": "slicing",
    "sliced": "waits for a printer",
    "printing": "printing",
    "printed": "post-processing",
    "photos": "photos",
    "submitted": "handing in",
    "label": "label",
    "packing": "packing",
    "drop_off": "drop-off",
    "delivered": "telling the marketplace",
    "closed": "closed",
    "on_hold": "on hold",
}


class Pages:
    """Renders a template for a visitor. `agent`: its name."""

    def __init__(self, agent: str) -> None:
        loader = FileSystemLoader(_HERE / "templates")
        self._environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        self._environment.filters |= {
            "when": _when,
            "span": _span,
            "state": lambda state: _STATES.get(state, str(state).replace("_", " ")),
            "words": lambda text: str(text).replace("_", " "),
            "capitalize_first": lambda text: text[:1].upper() + text[1:],
        }
        self._environment.globals |= {"agent": agent, "asset": asset}

    def render(self, name: str, visitor: Visitor | None, *, status: int = 200, form_secret: str = "", **values: Any) -> HTMLResponse:
        secret = visitor.secret if visitor is not None else form_secret
        shown: Mapping[str, Any] = {"me": visitor, "form": form_token(secret) if secret else "", "mark": "", "pictured": "", **values}
        return HTMLResponse(self._environment.get_template(name).render(shown), status)


@cache
def asset(name: str) -> str:
    """The address of a file of static/: another one when its content is another, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?{digest}"


def _when(at: datetime | None) -> str:
    """In the agent's own zone, which is the shop's."""
    return f"{at.astimezone():%a %d %b %H:%M}" if at is not None else ""


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{max(0, round(seconds))} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
