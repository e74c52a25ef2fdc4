"""Who asks: a person in a session, or a script with a token. And that a form was sent from a page of ours, by that person."""

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from agent.domain.errors import Refused
from agent.domain.person import ApiToken, Role, Scope, Session, hashed
from agent.domain.upload import MOST_PHOTOS
from agent.operator.desk import Desk
from agent.operator.web.access import Access

COOKIE_AGE_S = 400 * 24 * 3600
"""The most browsers keep. How long a session holds is the ledger's to say."""
MOST_FIELDS = 200


@dataclass(frozen=True)
class Visitor:
    """A person on one device."""

    session: Session
    secret: str

    @property
    def name(self) -> str:
        return self.session.person.name

    @property
    def acts(self) -> bool:
        return self.session.person.role is Role.OPERATOR


class NotSignedIn(Exception):
    """For a page: it is answered with the way to sign in."""


class Visitors:
    """Tells who asks."""

    def __init__(self, access: Access, desk: Desk) -> None:
        self._secure = access.secure
        self._url = access.url
        self._people = desk.people
        # A name that no other host under the same domain can set, where the browser would let it.
        prefix = "__Host-" if access.secure else ""
        self._session, self._form = f"{prefix}intagly", f"{prefix}intagly-form"

    # --- people --------------------------------------------------------------------------------------------------
    def visitor(self, request: Request) -> Visitor:
        """NotSignedIn where there is no session."""
        secret = request.cookies.get(self._session, "")
        session = self._people.session(hashed(secret)) if secret else None
        if session is None:
            raise NotSignedIn
        return Visitor(session, secret)

    def operator(self, request: Request) -> Visitor:
        """NotSignedIn, or Refused for who only looks."""
        visitor = self.visitor(request)
        if not visitor.acts:
            hint = "An operator can change that: `intagly-agent people role NAME operator`."
            raise Refused(f"{visitor.name}, you are here to look only.", hint=hint, code="not_allowed")
        return visitor

    def sign_in(self, response: Response, secret: str) -> None:
        self._set(response, self._session, secret)
        self._drop(response, self._form)

    def sign_out(self, response: Response) -> None:
        self._drop(response, self._session)

    # --- forms ---------------------------------------------------------------------------------------------------
    def form_secret(self, request: Request, response: Response) -> str:
        """For the one form that is sent before there is a session. What ties it to this browser is a cookie of its own."""
        secret = request.cookies.get(self._form) or secrets.token_urlsafe(32)
        self._set(response, self._form, secret)
        return secret

    @contextlib.asynccontextmanager
    async def form(self, request: Request, visitor: Visitor | None) -> AsyncIterator[FormData]:
        """The fields; files in it are open until it is left. Refused where it is not from a page that this very visitor was shown."""
        self._require_own_origin(request)
        async with request.form(max_files=MOST_PHOTOS, max_fields=MOST_FIELDS) as form:
            secret = visitor.secret if visitor else request.cookies.get(self._form, "")
            given = form.get("form")
            if not secret or not isinstance(given, str) or not _same(form_token(secret), given):
                hint = "Go back, load the page again, and send it once more. Nothing was done."
                raise Refused("This form is not from a page you have open now.", hint=hint, code="form_expired")
            yield form

    def require_page(self, request: Request, visitor: Visitor) -> None:
        """For what a page's own script sends, with the form's token in a header. Refused as `form` is."""
        self._require_own_origin(request)
        if not _same(form_token(visitor.secret), request.headers.get("x-form", "")):
            hint = "Load the page again: it goes on from there. Nothing was done."
            raise Refused("This does not come from a page you have open now.", hint=hint, code="form_expired")

    def _require_own_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        own = {f"{request.url.scheme}://{request.headers.get('host', '')}".lower(), self._url.lower()}
        if origin is not None and origin.lower() not in own:
            raise Refused("This form comes from another site.", hint="Nothing was done.", code="form_expired")

    # --- scripts -------------------------------------------------------------------------------------------------
    def token(self, request: Request, scope: Scope) -> ApiToken:
        """Refused where there is no token that is known, or not for this."""
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        token = self._people.token(hashed(secret.strip())) if kind.lower() == "bearer" and secret.strip() else None
        if token is None:
            hint = "Send `Authorization: Bearer …` with one made by `intagly-agent people token NAME`."
            raise Refused("No token that is known here was given.", hint=hint, code="not_signed_in")
        if scope not in token.scopes:
            hint = f"Make one with --scope {scope}."
            raise Refused(f"The token {token.name} is not for this.", hint=hint, code="not_allowed")
        return token

    def _set(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(name, value, max_age=COOKIE_AGE_S, path="/", secure=self._secure, httponly=True, samesite="strict")

    def _drop(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path="/", secure=self._secure, httponly=True, samesite="strict")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))


def form_token(secret: str) -> str:
    """What a form carries: only who has the cookie's secret can make it, and it does not give the secret away."""
    return hmac.new(secret.encode("utf-8", "replace"), b"intagly-agent form", hashlib.sha256).hexdigest()
