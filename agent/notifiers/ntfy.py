"""Calling the operator through an ntfy server, ours or the public one.

Publishing as JSON to the server's root: the text is neither in the URL nor in a header, so it is in no access log, and line breaks
and any script are safe in it (ntfy documentation, "Publish as JSON").

A picture has to be the body of a PUT to the topic itself ("Attach local file"), so the topic stands in the URL there, as it does
whenever somebody subscribes to it. The text then travels in headers, which no access log has by default, and not in the query.
"""

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.notifiers.address import NtfyAddress, parse_ntfy
from agent.notifiers.picture import Picture
from agent.ports.notifier import Button, Notice, Urgency
from agent.wire.tls import public_trust

_PRIORITY = {Urgency.INFO: 3, Urgency.ACT: 4, Urgency.ALARM: 5}
_TAG = {Urgency.INFO: "printer", Urgency.ACT: "raised_hand", Urgency.ALARM: "rotating_light"}
_LONGEST_BYTES = 4096
"""ntfy turns a longer message into an attachment, or refuses it."""
_LONGEST_TITLE_BYTES = 256
MOST_BUTTONS = 3
"""More are refused by ntfy."""
_ELLIPSIS = "…".encode()
_PICTURE_HINTS = {
    400: "are attachments switched on there (base-url and attachment-cache-dir in its server.yml)?",
    413: "the picture is larger than it takes, or the proxy before it, or the space for this address is used up",
}
"""Codes 40014 and 41301 of ntfy's server/errors.go. ntfy.sh takes 2 MB a picture, a server of one's own 15 MB, an nginx before it 1 MB."""


class NtfyChannel:
    """One topic. The first message opens the connection; `aclose` closes it. ConfigError where the address is none."""

    takes_pictures = True

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._address = parse_ntfy(url)
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    @property
    def name(self) -> str:
        return self._address.shown

    async def send(self, notice: Notice, picture: Picture | None = None) -> None:
        """Publish. Transient: away, slow, 429 or 5xx. NeedsOperator: the token does not serve. Refused: any other 4xx, as where the
        server takes no attachments (400) or none that large (413)."""
        if self._client is None:
            self._client = _client(self._address, self._timeout_s)
        request = _message(self._address.topic, notice) if picture is None else _with_picture(self._address.topic, notice, picture)
        try:
            async with asyncio.timeout(self._timeout_s), self._client.stream(**request) as response:
                # The answer's body is not read: the status says all, and nobody knows how long it is.
                if not response.is_success:
                    raise _refusal(self.name, response, {} if picture is None else _PICTURE_HINTS)
        except (TimeoutError, httpx.HTTPError) as error:
            raise _unreached(self.name, error, picture) from error

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _client(address: NtfyAddress, timeout_s: float) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    auth = httpx.BasicAuth(address.user, address.password) if address.password else None
    # trust_env False: a proxy or a .netrc of the account must not see, or change, what goes to the operator's own server.
    trust = public_trust()
    return httpx.AsyncClient(base_url=address.server, headers=headers, auth=auth, timeout=timeout_s, trust_env=False, verify=trust)


def _message(topic: str, notice: Notice) -> dict[str, Any]:
    """The request, as httpx takes it."""
    message = {
        "topic": topic,
        "title": _sendable(notice.title, _LONGEST_TITLE_BYTES),
        "message": _sendable(notice.text or notice.title, _LONGEST_BYTES),
        "priority": _PRIORITY[notice.urgency],
        "tags": _tags(notice),
        **({"actions": _actions(notice)} if notice.buttons else {}),
        **({"click": page} if (page := _page(notice)) else {}),
    }
    return {"method": "POST", "url": "/", "json": message}


def _with_picture(topic: str, notice: Notice, picture: Picture) -> dict[str, Any]:
    # Outside JSON ntfy makes a line break of a backslash before an n: a word joiner, which nobody sees, stands between them.
    text = (notice.text or notice.title).replace("\\n", "\\\N{WORD JOINER}n")
    headers = {
        "X-Title": _encoded(_sendable(notice.title, _LONGEST_TITLE_BYTES)),
        "X-Message": _encoded(_sendable(text, _LONGEST_BYTES)),
        "X-Priority": str(_PRIORITY[notice.urgency]),
        "X-Tags": _encoded(",".join(_tags(notice))),
        "X-Filename": picture.name,
        "Content-Type": picture.media_type,
        **({"X-Actions": _encoded(json.dumps(_actions(notice)))} if notice.buttons else {}),
        **({"X-Click": page} if (page := _page(notice)) else {}),
    }
    return {"method": "PUT", "url": f"/{topic}", "content": picture.content, "headers": headers}


def _tags(notice: Notice) -> list[str]:
    return [_TAG[notice.urgency], *([notice.order_id] if notice.order_id else [])]


def _actions(notice: Notice) -> list[dict[str, Any]]:
    """As ntfy's documentation has them under "Action buttons"; a header with them may be JSON as well (server/actions.go).

    The secret is the body of the request that the phone makes: it is in no address, and needs no header that a browser would ask for first.
    """
    return [_action(button) for button in notice.buttons[:MOST_BUTTONS]]


def _page(notice: Notice) -> str:
    """What opens when the message itself is touched."""
    return next((button.url for button in notice.buttons if button.secret is None), "")


def _action(button: Button) -> dict[str, Any]:
    told = {"label": button.label, "url": button.url}
    if button.secret is None:
        return {"action": "view", **told}
    return {"action": "http", **told, "method": "POST", "body": button.secret.get_secret_value(), "clear": True}


def _encoded(text: str) -> str:
    """One encoded word of RFC 2047, which ntfy reads in any header, of any length, line breaks included."""
    return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="


def _sendable(text: str, most_bytes: int) -> str:
    """As UTF-8 can say it, cut at a character's border."""
    encoded = text.encode(errors="replace")  # half a surrogate pair, from the name of a file
    if len(encoded) > most_bytes:
        encoded = encoded[: most_bytes - len(_ELLIPSIS)].decode(errors="ignore").encode() + _ELLIPSIS
    return encoded.decode()


def _unreached(name: str, error: Exception, picture: Picture | None) -> Transient:
    if picture is not None and isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
        # A server that does not take a large picture answers before it has read it, and hangs up: the answer may be lost.
        return Transient(f"{name} hung up on the picture", hint="does it take attachments, and that large?")
    return Transient(f"{name} was not reached: {type(error).__name__}", hint="is the server up, and its name right?")


async def reach(address: NtfyAddress, timeout_s: float = 10.0) -> None:
    """Is there an ntfy server? Nothing is sent, and no credential. AgentError as `NtfyChannel.send`.

    `GET /v1/health` is for everybody (server/server.go). Whether we may write to the topic is only known by writing to it.
    """
    async with httpx.AsyncClient(base_url=address.server, timeout=timeout_s, trust_env=False, verify=public_trust()) as client:
        try:
            async with asyncio.timeout(timeout_s), client.stream("GET", "/v1/health") as response:
                if not response.is_success:
                    raise _refusal(address.shown, response, {})
        except (TimeoutError, httpx.HTTPError) as error:
            raise _unreached(address.shown, error, None) from error


def _refusal(name: str, response: httpx.Response, hints: Mapping[int, str]) -> AgentError:
    status = response.status_code
    said = f"{name} answered {status}"
    if status in (401, 403):
        return NeedsOperator(said, hint="put an access token that may write to this topic into its address")
    if status == 429 or status >= 500:
        after = response.headers.get("Retry-After", "")
        return Transient(said, retry_after_s=float(after) if re.fullmatch("[0-9]{1,6}", after) else None)
    return Refused(said, hint=hints.get(status, "is this an ntfy server?"))
