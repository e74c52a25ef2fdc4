"""Signing in with a pairing code, signing out, and letting others and other devices in."""

import io

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from agent.domain.errors import Refused
from agent.domain.person import Role, code_typed, hashed, new_secret, shown_code
from agent.operator.desk import Desk
from agent.operator.web.access import Access
from agent.operator.web.limits import RateLimit
from agent.operator.web.pairing import MINUTES, checked_name, new_pairing
from agent.operator.web.rendering import Pages
from agent.operator.web.visitors import Visitor, Visitors

_TRIES, _TRIES_IN_S = 5, 60.0
"""Of a code, from one address: at 30^8 codes nobody guesses one within its minutes."""


def routes(access: Access, desk: Desk, visitors: Visitors, shown: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    tries = RateLimit(_TRIES, _TRIES_IN_S)

    @router.get("/sign-in")
    async def ask(request: Request) -> Response:
        return _asked(request, visitors, shown, nobody=not desk.people.people())

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        if not tries.allows(request.client.host if request.client else ""):
            hint = f"Wait a minute. A code is good for {MINUTES} minutes."
            raise Refused("Too many codes were tried.", hint=hint, code="too_many")
        async with visitors.form(request, None) as form:
            secret, name = new_secret(), str(form.get("name", ""))
            code = hashed(code_typed(str(form.get("code", ""))))
        device = request.headers.get("user-agent", "")
        desk.people.pair(code, checked_name(name) if name.strip() else "", hashed(secret), _printable(device))
        response = RedirectResponse("/", 303)
        visitors.sign_in(response, secret)
        return response

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        visitor = visitors.visitor(request)
        async with visitors.form(request, visitor):
            desk.people.end_session(hashed(visitor.secret))
        response = RedirectResponse("/sign-in", 303)
        visitors.sign_out(response)
        return response

    _add_people(router, access, desk, visitors, shown)
    return router


def _asked(request: Request, visitors: Visitors, shown: Pages, *, nobody: bool) -> Response:
    carrier = Response()
    secret = visitors.form_secret(request, carrier)
    page = shown.render("sign_in.html", None, form_secret=secret, nobody=nobody)
    page.raw_headers += [header for header in carrier.raw_headers if header[0] == b"set-cookie"]
    return page


def _add_people(router: APIRouter, access: Access, desk: Desk, visitors: Visitors, shown: Pages) -> None:
    @router.get("/people")
    async def people(request: Request) -> HTMLResponse:
        return _people(visitors.visitor(request))

    def _people(visitor: Visitor, code: str = "", whose: str = "", picture: Markup | None = None) -> HTMLResponse:
        sessions = desk.people.sessions()
        shown_people = [(person, [session for session in sessions if session.person.id == person.id]) for person in desk.people.people()]
        return shown.render("people.html", visitor, people=shown_people, code=code, whose=whose, picture=picture, minutes=MINUTES)

    @router.post("/people/pair")
    async def pair(request: Request) -> HTMLResponse:
        """A code for another device of mine, or for somebody new. Only an operator lets somebody else in."""
        visitor = visitors.visitor(request)
        async with visitors.form(request, visitor) as form:
            mine, role = form.get("whose", "me") == "me", Role.OPERATOR if form.get("role") == "operator" else Role.VIEWER
        if mine:
            role = visitor.session.person.role
        else:
            visitors.operator(request)
        code = new_pairing(desk.people, desk.now(), role, visitor.name if mine else "")
        whose = visitor.name if mine else f"somebody new, as {role}"
        return _people(visitor, shown_code(code), whose, _picture(f"{_opened_at(access, request)}/sign-in#{code}"))


def _opened_at(access: Access, request: Request) -> str:
    """The address this person came by: another device of theirs most likely can, too."""
    return access.url or f"{request.url.scheme}://{request.headers['host']}"


def _picture(text: str) -> Markup:
    """A QR code as inline SVG: attributes only, since the page allows no style in its text."""
    import segno  # noqa: PLC0415 (late: 0.8 MiB, for whoever lets somebody in)

    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", xmldecl=False, svgns=True, scale=5, dark="#000", light="#fff", nl=False)
    return Markup(out.getvalue().decode())


def _printable(device: str) -> str:
    return "".join(character for character in device if character.isprintable())
