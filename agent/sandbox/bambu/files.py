"""The printer's card over implicit FTPS: TLS 1.2 before the banner, and the data channel must reuse the control channel's session."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-untyped]
from pyftpdlib.exceptions import _RetryError  # type: ignore[import-untyped]
from pyftpdlib.handlers import ThrottledDTPHandler, TLS_DTPHandler, TLS_FTPHandler  # type: ignore[import-untyped]
from pyftpdlib.ioloop import IOLoop  # type: ignore[import-untyped]
from pyftpdlib.servers import FTPServer  # type: ignore[import-untyped]

from agent.sandbox.bambu.broker import CLIENT_USER
from agent.sandbox.bambu.certificates import Certificates
from agent.sandbox.bambu.faults import Faults
from agent.sandbox.bambu.settings import Settings

_LOOK_S = 0.05


class _Data(ThrottledDTPHandler, TLS_DTPHandler):  # type: ignore[misc]
    """522 when the client does not reuse the session, as vsFTPd on the X1 and P2S (source: bambu-cli issue 2)."""

    _ended_once = False

    def handle_ssl_established(self) -> None:
        # pyOpenSSL has no public word for "was this session reused"
        reused = SSL._lib.SSL_session_reused(self.socket._ssl)  # type: ignore[attr-defined]
        if self.cmd_channel.session_reuse and not reused:
            self.cmd_channel.respond("522 SSL connection failed; session reuse required")
            self.close()

    def enable_receiving(self, type: str, cmd: str) -> None:
        faults = self.cmd_channel.faults
        self.read_limit, faults.card_bytes_s = faults.card_bytes_s, 0
        super().enable_receiving(type, cmd)

    def recv(self, buffer_size: int) -> bytes:
        """The end of TLS comes as an end of reading; passed over once, the next is the end of TCP."""
        if self.cmd_channel.hang_unwrap and not self._ended_once and self._at_end_of_tls():
            self._ended_once = True
            raise _RetryError
        received: bytes = super().recv(buffer_size)
        return received

    def _at_end_of_tls(self) -> bool:
        with contextlib.suppress(SSL.Error):
            self.socket.recv(1, socket.MSG_PEEK)
        return bool(self.socket.get_shutdown() & SSL.RECEIVED_SHUTDOWN)


class _Control(TLS_FTPHandler):  # type: ignore[misc]
    """pyftpdlib has TLS by AUTH alone; here it comes before the greeting."""

    dtp_handler = _Data
    tls_control_required = True
    tls_data_required = True
    banner = "sandbox printer"
    session_reuse = True
    hang_unwrap = False
    use_sendfile = False
    arrived: Callable[[Path], None]
    faults: Faults

    def handle(self) -> None:
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self) -> None:
        super().handle()

    def on_file_received(self, file: str) -> None:
        type(self).arrived(Path(file))


def _context(files: Certificates) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION)
    context.set_session_id(b"bambu-sandbox")
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.use_certificate_chain_file(str(files.chain))
    context.use_privatekey_file(str(files.key))
    return context


class CardServer:
    """A thread of its own: pyftpdlib has its own loop. `arrived` is called from that thread, with each file that is complete."""

    def __init__(self, settings: Settings, files: Certificates, faults: Faults, arrived: Callable[[Path], None]) -> None:
        people = DummyAuthorizer()
        people.add_user(CLIENT_USER, settings.access_code, str(settings.card), perm="elradfmwMT")
        controls: dict[str, Any] = {
            "authorizer": people,
            "ssl_context": _context(files),
            "arrived": staticmethod(arrived),
            "faults": faults,
            "session_reuse": settings.session_reuse,
            "hang_unwrap": settings.hang_unwrap,
        }
        self._loop = IOLoop()
        self._server = FTPServer((settings.host, settings.ftps_port), type("Control", (_Control,), controls), ioloop=self._loop)
        self._ending, self._dropping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()

    def drop(self) -> None:
        """Every connection is cut, a file that arrives stays as short as it is."""
        self._dropping.set()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._server.serve_forever(timeout=_LOOK_S, blocking=False, handle_exit=False)
            if self._dropping.is_set():
                self._dropping.clear()
                self._cut()
        self._server.close_all()

    def _cut(self) -> None:
        """Reset, as when the power goes: nothing says goodbye."""
        connections = [one for one in self._loop.socket_map.values() if isinstance(one, (_Control, _Data))]
        for connection in sorted(
            connections, key=lambda one: isinstance(one, _Control)
        ):  # a control channel closes its data channel in its own way
            if connection.socket is not None:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection._ssl_accepting = connection._ssl_established = False  # or closing waits for the end of TLS
                connection.close()
