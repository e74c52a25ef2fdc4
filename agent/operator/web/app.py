"""The application: pages for people, /api/v1 for scripts."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from agent import __version__
from agent.domain.errors import AgentError, Refused
from agent.operator.desk import Desk
from agent.operator.looks import PrinterLooks
from agent.operator.photo_uploads import PhotoUploads
from agent.operator.pictures import PrinterPictures
from agent.operator.web import (
    accounts,
    api,
    api_accounts,
    buttons,
    files,
    forms,
    measured,
    pages,
    parcels,
    photographing,
    rejections,
    signing_in,
    uploading,
)
from agent.operator.web.access import Access
from agent.operator.web.feed import Feed
from agent.operator.web.guard import LARGEST_CHUNK, LARGEST_FORM, LARGEST_PHOTOS, Guard
from agent.operator.web.problems import as_json, for_scripts, problem_of
from agent.operator.web.rendering import STATIC, Pages
from agent.operator.web.visitors import NotSignedIn, Visitor, Visitors

_ICON = "icon-192.png"
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
_FOR_EVER = "public, max-age=31536000, immutable"


def build(access: Access, desk: Desk, looks: PrinterLooks, pictures: PrinterPictures, feed: Feed) -> FastAPI:
    app = FastAPI(
        title="intagly-agent",
        version=__version__,
        description="The agent's own HTTP API: how things stand, answers, and control of prints. Tokens: `intagly-agent people token`.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    visitors, shown = Visitors(access, desk), Pages(desk.name)
    printing = parcels.LabelPrinting(desk)
    app.include_router(api.routes(desk, looks, pictures, visitors))
    app.include_router(signing_in.routes(access, desk, visitors, shown))
    app.include_router(pages.routes(desk, looks, pictures, feed, visitors, shown))
    app.include_router(forms.routes(desk, looks, visitors))
    app.include_router(files.routes(desk, visitors))
    app.include_router(files.camera_routes(pictures, visitors))
    app.include_router(accounts.routes(desk, visitors, shown))
    app.include_router(parcels.routes(desk, printing, visitors, shown))
    app.include_router(api_accounts.routes(desk, printing, visitors))
    photos = PhotoUploads(desk.ledger, desk.uploads, desk.store, desk.uploads_dir)
    app.include_router(photographing.routes(visitors, photos, photographing.PhotoPage(desk, shown, photos), desk))
    app.include_router(uploading.routes(desk, visitors, photos))
    app.include_router(rejections.routes(desk, visitors, shown))
    app.include_router(rejections.api_routes(desk, visitors))
    app.include_router(buttons.routes(desk, looks))
    if desk.metrics is not None:
        app.include_router(measured.routes(desk.metrics, visitors))
    _add_static(app)
    _add_errors(app, visitors, shown)
    app.add_middleware(Guard, access=access, largest=_largest)
    return app


def _largest(path: str) -> int:
    """Bytes of a request's body."""
    if path == buttons.PATH:
        return buttons.LARGEST
    if path.startswith(uploading.PREFIX):
        return LARGEST_CHUNK
    return LARGEST_PHOTOS if path.startswith("/orders/") and path.endswith("/photos") else LARGEST_FORM


def _add_static(app: FastAPI) -> None:
    """The few files of static/, known by name from the start: no path from outside ever becomes a path here."""
    known = {path.name: path for path in STATIC.iterdir() if path.suffix in _MEDIA_TYPES}

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in known:
            raise HTTPException(404, "There is no such file.")
        path = known[name]
        return FileResponse(path, media_type=_MEDIA_TYPES[path.suffix], headers={"cache-control": _FOR_EVER})

    @app.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> Response:
        return FileResponse(known[_ICON], media_type="image/png", headers={"cache-control": "public, max-age=86400"})


def _add_errors(app: FastAPI, visitors: Visitors, shown: Pages) -> None:
    async def told(request: Request, error: Exception) -> Response:
        if for_scripts(request):
            return as_json(error)
        problem = problem_of(error)
        return shown.render("problem.html", _who(visitors, request), status=problem.status, problem=problem, back=_back(request))

    async def sign_in_first(request: Request, _error: Exception) -> Response:
        if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
            # A strict cookie does not come along from another site's link. From this page of our own it does.
            return HTMLResponse('<!doctype html><meta http-equiv="refresh" content="0"><title>One moment</title>')
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/sign-in", 303)
        hint = "Sign in, and do it again: nothing was done."
        return await told(request, Refused("You are not signed in.", hint=hint, code="not_signed_in"))

    app.add_exception_handler(NotSignedIn, sign_in_first)
    for kind in (AgentError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, told)


def _who(visitors: Visitors, request: Request) -> Visitor | None:
    try:
        return visitors.visitor(request)
    except (NotSignedIn, AgentError):
        return None


def _back(request: Request) -> str:
    """The page of the order or printer a form was about."""
    parts = request.url.path.strip("/").split("/")
    if parts[0] == "orders" and len(parts) > 2:
        return f"/orders/{parts[1]}"
    return "/printers" if parts[0] == "printers" else "/"
