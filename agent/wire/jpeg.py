"""One picture from a camera's address."""

import asyncio

import httpx

from agent.domain.errors import Refused, Transient
from agent.wire.tls import public_trust

LARGEST_BYTES = 10_000_000
LIMIT_S = 10.0
_JPEG = b"\xff\xd8\xff"


async def fetch_jpeg(url: str, headers: dict[str, str] | None = None) -> bytes:
    """The JPEG at that address. Transient: away or slow. Refused: what is there is no picture."""
    try:
        # trust_env False: a proxy of the account has no business in the operator's own network.
        async with asyncio.timeout(LIMIT_S), _client() as client:
            return await _fetched(client, url, headers or {})
    except (TimeoutError, httpx.TimeoutException) as error:
        raise Transient("The camera did not answer in time.", hint="Does its picture open in a browser?", code="camera_away") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        text = f"The camera cannot be reached: {type(error).__name__}."
        raise Transient(text, hint="Is the address of its picture right?", code="camera_away") from error


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=LIMIT_S, verify=public_trust())


async def _fetched(client: httpx.AsyncClient, url: str, headers: dict[str, str]) -> bytes:
    async with client.stream("GET", url, headers=headers) as response:
        if not response.is_success:
            raise Refused(f"The camera answers {response.status_code}.", hint="Does its picture open in a browser?", code="no_picture")
        picture = bytearray()
        async for chunk in response.aiter_bytes():
            picture += chunk
            if len(picture) > LARGEST_BYTES:
                hint = "Is it the address of a stream? The one of a single picture is needed."
                raise Refused("What the camera sends does not end.", hint=hint, code="no_picture")
    if not picture.startswith(_JPEG):
        raise Refused("What the camera sends is no JPEG.", hint="Is it the address of a single picture?", code="no_picture")
    return bytes(picture)
