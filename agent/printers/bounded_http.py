"""requests as a daemon needs it: every call has an end, every answer a size, and calls at work can be ended from outside.

requests' own read limit counts from the last byte, so a server that drips holds a call for ever; nothing limits how much it reads; and
a redirect would carry the key to another server. Seen with requests 2.34 and urllib3 2.8.
"""

import http.client
import io
import socket
import struct
import sys
import threading
import time
import warnings
import weakref
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

# requests takes a guesser of character sets along where it finds one: 2.9 MiB, for answers that are JSON, and so UTF-8.
_GUESSER = "charset_normalizer"
sys.modules.setdefault(_GUESSER, cast(Any, None))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that there is none
    import requests
if sys.modules[_GUESSER] is None:
    del sys.modules[_GUESSER]
import urllib3  # noqa: E402 - after that
from requests.adapters import HTTPAdapter  # noqa: E402
from urllib3.connection import HTTPConnection, HTTPSConnection  # noqa: E402

CONNECT_S = 3.0
"""For one address of a host, and for each piece that is sent. A host may have two, and the first may be dead."""
CONNECT_ALL_S = 6.0
"""For the name and all addresses. Whoever connects later than that sends nothing: a start must not arrive when it is thought lost."""
ANSWER_S = 10.0
"""From the last byte sent to the last byte of the answer."""
LARGEST_ANSWER = 1_048_576
_KEPT_OPEN = 4
_FORGET_WHAT_WAS_NOT_DELIVERED = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Closing drops what the network has not taken yet. Otherwise the kernel goes on sending it for minutes after the call, or the agent,
has ended, and a start would arrive that everybody thinks lost."""


class AnswerTooLarge(requests.exceptions.RequestException):
    """More than LARGEST_ANSWER bytes: that is no answer to anything we ask."""


class _Hurried(io.RawIOBase):
    """A socket's bytes until a deadline. It reads from the socket itself: SocketIO gives up for good after one time-out."""

    def __init__(self, owner: io.RawIOBase, sock: socket.socket, until: float) -> None:
        super().__init__()
        self._owner, self._sock, self._until = owner, sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer is not complete")
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        self._owner.close()
        super().close()


class _WholeAnswer(http.client.HTTPResponse):
    """Takes the read limit of the request as the limit for the whole answer, its headers included."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        until = time.monotonic() + (sock.gettimeout() or ANSWER_S)
        self.fp = io.BufferedReader(_Hurried(self.fp.detach(), sock, until))


class _Connection(HTTPConnection):
    response_class = _WholeAnswer

    def connect(self) -> None:
        began = time.monotonic()
        super().connect()
        _too_late(self, began)


class _TlsConnection(HTTPSConnection):
    response_class = _WholeAnswer

    def connect(self) -> None:
        began = time.monotonic()
        super().connect()
        _too_late(self, began)


def _too_late(connection: HTTPConnection, began: float) -> None:
    if time.monotonic() - began > CONNECT_ALL_S:
        connection.close()
        raise urllib3.exceptions.ConnectTimeoutError(connection, "finding and connecting took too long")


class _Adapter(HTTPAdapter):
    """Makes bounded connections, and keeps them in sight."""

    def __init__(self) -> None:
        self._live: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._lock = threading.Lock()
        super().__init__(pool_maxsize=_KEPT_OPEN)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        options = [*HTTPConnection.default_socket_options, _FORGET_WHAT_WAS_NOT_DELIVERED]
        super().init_poolmanager(*args, **kwargs, socket_options=options)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = partial(self._connection, _TlsConnection if pool.scheme == "https" else _Connection)
        return pool

    def end_calls(self) -> None:
        """Whoever waits for an answer gets an error now."""
        with self._lock:
            open_now = [connection.sock for connection in self._live]
        for sock in open_now:
            if sock is not None:
                _shut(sock)

    def _connection(self, kind: type[HTTPConnection], **kwargs: Any) -> HTTPConnection:
        made = kind(**kwargs)
        with self._lock:
            self._live.add(made)
        return made


def _shut(sock: socket.socket) -> None:
    """With the socket class's own shutdown: TLS's would pull its state from under the thread that reads."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # it was closed already


class BoundedSession(requests.Session):
    """One server. Keeps the path of its URL, follows no redirect, ignores the machine's proxy settings.

    A call raises requests' errors only. Its answer is read whole before it is returned.
    """

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self.trust_env = False
        self._base = urlsplit(base_url)
        self._adapter = _Adapter()
        self.mount("http://", self._adapter)
        self.mount("https://", self._adapter)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", (CONNECT_S, ANSWER_S))
        return _read(super().request(method, self._there(url), *args, **{**kwargs, "stream": True}))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, so that requests follows no redirect, nor reads one's body without limit to offer following it."""

    def close(self) -> None:
        """Ends calls at work too."""
        self._adapter.end_calls()
        super().close()

    def _there(self, url: str | bytes) -> str:
        asked = urlsplit(url if isinstance(url, str) else url.decode())
        return urlunsplit((self._base.scheme, self._base.netloc, self._base.path.rstrip("/") + asked.path, asked.query, ""))


def _read(response: requests.Response) -> requests.Response:
    """The answer with its body in memory; the connection is free again."""
    try:
        body = response.raw.read(LARGEST_ANSWER + 1, decode_content=True)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error, response=response) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise requests.exceptions.ConnectionError(error, response=response) from error
    if len(body) > LARGEST_ANSWER:
        response.close()
        raise AnswerTooLarge("the answer is too large", response=response)
    response.raw.release_conn()
    response.raw = io.BytesIO(body)
    return response
