"""Servers that are no OctoPrint, or a sick one: they answer as a test tells them, byte by byte."""

import contextlib
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

NAME = "order_1-1-1-0123abcd.gcode"
KEY = "tests-only-key"
IDLE = {"state": "Operational", "job": {"file": {"path": None}}, "progress": {"completion": None}}


@dataclass
class Request:
    head: bytes
    length: int
    body: bytes
    connection: socket.socket
    closing: threading.Event

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()


Answer = Callable[[Request], None]


def canned(body: bytes | object, status: int = 200, **headers: str) -> Answer:
    """One whole answer; what is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"Content_Type": "application/json", "Content_Length": str(len(data)), **headers}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items()) + "\r\n"
    return lambda request: request.connection.sendall(head.encode() + data)


def silent(request: Request) -> None:
    """Takes the request and never answers."""
    request.closing.wait()


def dripping(data: bytes, every_s: float = 0.05) -> Answer:
    """A byte now and then, for ever: each single read of the client is answered in time."""

    def answer(request: Request) -> None:
        for number in range(1_000_000):
            request.connection.sendall(data[number : number + 1] or b"x")
            if request.closing.wait(every_s):
                return

    return answer


def endless(head: bytes) -> Answer:
    """As fast as it goes, without an end."""

    def answer(request: Request) -> None:
        request.connection.sendall(head)
        while not request.closing.is_set():
            request.connection.sendall(b"x" * 65536)

    return answer


@dataclass
class Wire:
    """A server on a free port; every connection has a thread. What it received is kept."""

    answer: Answer
    tls: ssl.SSLContext | None = None
    stall_s: float = 0.0
    """How long it waits in the middle of a body before it reads on."""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        wire = self
        self.closing = threading.Event()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire.connections += 1
                with contextlib.suppress(OSError):
                    while wire._serve(self.request):
                        pass

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._server.server_bind()
        self._server.server_activate()
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def lines(self) -> list[str]:
        return [request.line for request in self.requests]

    def _serve(self, connection: socket.socket) -> bool:
        head, rest = _until_blank_line(connection)
        if not head:
            return False
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        request = Request(head, length, self._body(connection, rest, length), connection, self.closing)
        self.requests.append(request)
        self.answer(request)
        return True

    def _body(self, connection: socket.socket, rest: bytes, length: int) -> bytes:
        kept, got = [rest], len(rest)
        stalled = self.stall_s == 0
        while got < length:
            if not stalled and got > length / 2:
                stalled = True
                self.closing.wait(self.stall_s)
            data = connection.recv(65536)
            if not data:
                raise OSError("the client went away")
            got += len(data)
            kept.append(data)
        return b"".join(kept)


def _until_blank_line(connection: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def stored(request: Request) -> None:
    """OctoPrint's answer to an upload, with the name that was asked for."""
    name = request.body.partition(b'filename="')[2].partition(b'"')[0].decode() or "x.gcode"
    answer: dict[str, Any] = {"done": True, "files": {"local": {"name": name, "path": name}}}
    canned(answer, 201)(request)
