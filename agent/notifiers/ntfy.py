"""Calling the operator through an ntfy server, ours or the public one.

Publishing as JSON to the server's root: the text is neither in the URL nor in a header, so it is in no access log, and line breaks
and any script are safe in it (ntfy documentation, "Publish as JSON").
"""

import asyncio
import re

import httpx

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.notifiers.address import NtfyAddress, parse_ntfy
from agent.ports.notifier import Notice, Urgency

_PRIORITY = {Urgency.INFO: 3, Urgency.ACT: 4, Urgency.ALARM: 5}
_TAG = {Urgency.INFO: "printer", Urgency.ACT: "raised_hand", Urgency.ALARM: "rotating_light"}
_LONGEST_BYTES = 4096
"""ntfy turns a longer message into an attachment, or refuses it."""
_LONGEST_TITLE_BYTES = 256
_ELLIPSIS = "…".encode()


class NtfyChannel:
    """One topic. The first message opens the connection; `aclose` closes it. ConfigError where the address is none."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._address = parse_ntfy(url)
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    @property
    def name(self) -> str:
        return self._address.shown

    async def send(self, notice: Notice) -> None:
        """Publish. Transient: away, slow, 429 or 5xx. NeedsOperator: the token does not serve. Refused: any other 4xx."""
        if self._client is None:
            self._client = _client(self._address, self._timeout_s)
        message = _message(self._address.topic, notice)
        try:
            async with asyncio.timeout(self._timeout_s), self._client.stream("POST", "/", json=message) as response:
                # The answer's body is not read: the status says all, and nobody knows how long it is.
                if not response.is_success:
                    raise _refusal(self.name, response)
        except (TimeoutError, httpx.HTTPError) as error:
            raise Transient(f"{self.name} was not reached: {type(error).__name__}", hint="is the server up, and its name right?") from error

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _client(address: NtfyAddress, timeout_s: float) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    auth = httpx.BasicAuth(address.user, address.password) if address.password else None
    # trust_env False: a proxy or a .netrc of the account must not see, or change, what goes to the operator's own server.
    return httpx.AsyncClient(base_url=address.server, headers=headers, auth=auth, timeout=timeout_s, trust_env=False)


def _message(topic: str, notice: Notice) -> dict[str, object]:
    return {
        "topic": topic,
        "title": _sendable(notice.title, _LONGEST_TITLE_BYTES),
        "message": _sendable(notice.text or notice.title, _LONGEST_BYTES),
        "priority": _PRIORITY[notice.urgency],
        "tags": [_TAG[notice.urgency], *([notice.order_id] if notice.order_id else [])],
    }


def _sendable(text: str, most_bytes: int) -> str:
    """As UTF-8 can say it, cut at a character's border."""
    encoded = text.encode(errors="replace")  # half a surrogate pair, from the name of a file
    if len(encoded) > most_bytes:
        encoded = encoded[: most_bytes - len(_ELLIPSIS)].decode(errors="ignore").encode() + _ELLIPSIS
    return encoded.decode()


def _refusal(name: str, response: httpx.Response) -> AgentError:
    status = response.status_code
    said = f"{name} answered {status}"
    if status in (401, 403):
        return NeedsOperator(said, hint="put an access token that may write to this topic into its address")
    if status == 429 or status >= 500:
        after = response.headers.get("Retry-After", "")
        return Transient(said, retry_after_s=float(after) if re.fullmatch("[0-9]{1,6}", after) else None)
    return Refused(said, hint="is this an ntfy server?")
