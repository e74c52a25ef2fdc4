"""Fetching a file somebody else chose the address of: flat memory, bounded size and time, no way into the operator's own network."""

import asyncio
import errno
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.marketplaces.replies import beginning, check, is_packed, printable, retry_after_s

MOST_REDIRECTS = 3
MOST_ADDRESSES = 4
"""Of one name, tried one after the other."""
LEAST_S = 60.0
SLOWEST_BYTES_S = 50_000
"""A download may take a minute, and a second more for each 50 kB that came: large files have their time, a dripping server has not."""
_CHUNK = 65_536
_PROBLEM_BYTES = 100_000
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class _Place(NamedTuple):
    """Where to ask next. `addresses`: the ones that were looked at and are to be used; none for the marketplace itself."""

    url: httpx.URL
    addresses: Sequence[str] = ()


class Downloads:
    """Downloads for one marketplace. Its token goes to its own origin and nowhere else.

    `hosts`: with these nothing is trusted, not even a `home`: every address, the first one too, is https on one of them.
    """

    def __init__(self, client: httpx.AsyncClient, home: str, hosts: frozenset[str] | None = None) -> None:
        self._client = client
        self._home = _origin(httpx.URL(home)) if hosts is None else None
        self._hosts = hosts

    async def fetch(self, url: str, into: Path, limit_bytes: int) -> None:
        """Write the file to `into`, which may hold a part of it where this raises.

        Refused: too large (file_too_large), or an address that must not be asked (redirect_refused). Transient: cut off.
        NeedsOperator: it cannot be written (disk_full, cannot_write). TimeoutError: too slow. httpx's own errors come through.
        """
        async with asyncio.timeout(LEAST_S) as left, self._opened(httpx.URL(url)) as answer:
            await _save(answer, into, limit_bytes, left)

    @asynccontextmanager
    async def _opened(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        """The answer with the file, wherever the marketplace sends us for it."""
        place = _Place(url) if self._hosts is None else await self._allowed(url, str(url))
        for hop in range(MOST_REDIRECTS + 1):
            answer = await self._ask(place)
            try:
                if answer.has_redirect_location:
                    place = await self._allowed(place.url, answer.headers["Location"])
                    continue
                await _must_be_file(answer, sent_on=hop > 0)
                yield answer
                return
            finally:
                await answer.aclose()
        raise Refused("The file's address redirects again and again.", code="redirect_refused")

    async def _ask(self, place: _Place) -> httpx.Response:
        if not place.addresses:
            return await self._client.send(self._client.build_request("GET", place.url), stream=True)
        *others, last = place.addresses
        for address in others:
            try:
                return await self._ask_at(address, place.url)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # as a browser does: the name's next address
        return await self._ask_at(last, place.url)

    async def _ask_at(self, address: str, url: httpx.URL) -> httpx.Response:
        """Ask at this very address: looked up again, the name could lead elsewhere. The certificate must still be the name's."""
        headers = {"Host": url.netloc.decode("ascii"), "Connection": "close"}
        request = self._client.build_request(
            "GET", url.copy_with(host=address), headers=headers, extensions={"sni_hostname": _ascii_host(url)}
        )
        request.headers.pop("Authorization", None)
        request.headers.pop("Cookie", None)
        return await self._client.send(request, stream=True)

    async def _allowed(self, url: httpx.URL, location: str) -> _Place:
        """A redirect goes to the marketplace itself or to a public address, and never from https to http."""
        try:
            target = url.join(location)
        except (httpx.InvalidURL, ValueError) as error:
            raise _refuse(location, "is no web address") from error
        if target.scheme not in ("http", "https") or not target.host:
            raise _refuse(location, "is no web address")
        if _origin(target) == self._home:
            return _Place(target)
        if url.scheme == "https" and target.scheme != "https":
            raise _refuse(target.host, "leaves https")
        if self._hosts is not None and (target.scheme != "https" or target.host not in self._hosts):
            raise _refuse(target.host, "is not among the hosts that files may come from")
        addresses = await _addresses(_ascii_host(target), _origin(target)[2])
        for address in addresses:
            if not is_public(address):
                raise _refuse(target.host, f"leads to {address}, which is not on the public internet")
        return _Place(target, [str(address) for address in addresses[:MOST_ADDRESSES]])


async def _must_be_file(answer: httpx.Response, *, sent_on: bool) -> None:
    if sent_on and not answer.is_success:
        # Such an address is short-lived; another try is given a fresh one.
        raise Transient(
            f"The address the marketplace gave for the file answered {answer.status_code}.",
            code="link_failed",
            retry_after_s=retry_after_s(answer),
        )
    if not answer.is_success:
        check(answer, await beginning(answer, _PROBLEM_BYTES))
    if is_packed(answer):
        raise Refused("The file came compressed, which was not asked for.", hint="Tell the marketplace's support.", code="compressed_file")


def _refuse(where: str, why: str) -> Refused:
    return Refused(
        f"A download was to come from {printable(where)}, which {why}.",
        hint="Nothing was asked there. Tell the marketplace's support.",
        code="redirect_refused",
    )


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _ascii_host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii")


async def _addresses(host: str, port: int) -> list[_Address]:
    """Every address the name has now."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise _refuse(host, "is no name") from error
    except OSError as error:
        raise Transient(f"{host} cannot be found: {error.strerror}.", code="unreachable") from error
    return [ipaddress.ip_address(str(place[4][0]).split("%")[0]) for place in found]


def is_public(address: _Address) -> bool:
    """False for every address that is, or is translated to, one of this machine, of a private network, or of nobody."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inside(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local or address.is_reserved:
            return False
    return address.is_global and not address.is_multicast


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), 6to4 (RFC 3056), NAT64 (RFC 6052)."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


async def _save(answer: httpx.Response, into: Path, limit_bytes: int, left: asyncio.Timeout) -> None:
    """httpx itself says where fewer bytes come than were announced."""
    if (_announced(answer) or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    got, begun = 0, asyncio.get_running_loop().time()
    with _writing(into), into.open("wb") as file:
        async for chunk in answer.aiter_raw(_CHUNK):
            got += len(chunk)
            if got > limit_bytes:
                raise _too_large(limit_bytes)
            file.write(chunk)
            left.reschedule(begun + LEAST_S + got / SLOWEST_BYTES_S)


def _announced(answer: httpx.Response) -> int | None:
    told = answer.headers.get("Content-Length", "")
    return int(told) if re.fullmatch("[0-9]{1,18}", told) else None


def _too_large(limit_bytes: int) -> Refused:
    return Refused(
        f"The file is larger than {limit_bytes / 1e6:.0f} MB.",
        hint="Raise [files] max_file_mb if the machine can bear it.",
        code="file_too_large",
    )


@contextmanager
def _writing(into: Path) -> Iterator[None]:
    """The disk's errors, told as they are."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NeedsOperator(
                f"The disk with {into.parent} is full ({error.strerror}).",
                hint="Free some space; the agent goes on by itself.",
                code="disk_full",
            ) from error
        raise NeedsOperator(
            f"{into} could not be written: {error.strerror}.",
            hint="Give the agent's user that folder, on a disk that works.",
            code="cannot_write",
        ) from error
