"""Peers on loopback that hold, or break, what a Bambu printer's ports promise: certificates, a scripted FTPS server, a scripted camera."""

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

SERIAL, CODE = "01P00A000000001", "12345678"
HOST = "127.0.0.1"
_DAYS = datetime.timedelta(days=30)
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
"""One for all of them: making keys is what takes time."""


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(name: str, issuer: str, *, authority: bool) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(_KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAYS)
        .not_valid_after(now + _DAYS)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(_KEY, hashes.SHA256())
    )


def authority(folder: Path, name: str = "Test CA") -> Path:
    """A root certificate as PEM. All have the same key: another name is another authority."""
    path = folder / f"{name}.pem"
    path.write_bytes(_certificate(name, name, authority=True).public_bytes(serialization.Encoding.PEM))
    return path


def server_context(folder: Path, serial: str = SERIAL, ca: str = "Test CA") -> ssl.SSLContext:
    """As a printer has it: CN is the serial number, no host name, TLS 1.2 only."""
    chain = folder / f"{serial}-{ca}.pem"
    key = _KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(key + _certificate(serial, ca, authority=False).public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain)
    return context


@contextlib.contextmanager
def serving(context: ssl.SSLContext, talk: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    """A port at which `talk` is had with everybody who completes the handshake, in a thread each."""
    listener = socket.create_server((HOST, 0))
    threads: list[threading.Thread] = []
    peers: list[socket.socket] = []

    def one(raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw, context.wrap_socket(raw, server_side=True) as peer:
            peers.append(peer)
            talk(peer)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                raw = listener.accept()[0]
                threads.append(threading.Thread(target=one, args=(raw,)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(10)
        for peer in peers:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(peer, socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


@dataclass
class FtpScript:
    """What this server does otherwise than well. `files` is its memory card."""

    files: dict[str, bytes] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    reused: list[bool] = field(default_factory=list)
    password: str = CODE
    hangs_at_goodbye: bool = False
    cuts_to: int | None = None
    answers: dict[str, str] = field(default_factory=dict)
    """By command: said instead of doing it."""
    breaks_after: int | None = None
    """Bytes of an upload, after which it goes away, once."""
    stalls: threading.Event | None = None
    """An upload is taken, and nothing said of it, until this is set."""
    began: threading.Event = field(default_factory=threading.Event)


class FtpTalk:
    """One connection."""

    def __init__(self, peer: ssl.SSLSocket, context: ssl.SSLContext, script: FtpScript) -> None:
        self._peer, self._context, self._script = peer, context, script
        self._lines = peer.makefile("r", encoding="utf-8")
        self._data: socket.socket | None = None

    def run(self) -> None:
        with self._lines, contextlib.ExitStack() as self._stack:
            self._say("220 ready")
            for line in self._lines:
                command, _, rest = line.rstrip("\r\n").partition(" ")
                self._script.heard.append(command)
                if command in self._script.answers:
                    self._say(self._script.answers[command])
                else:
                    getattr(self, f"_{command.lower()}")(rest)

    def _say(self, line: str) -> None:
        self._peer.sendall(f"{line}\r\n".encode())

    def _user(self, _rest: str) -> None:
        self._say("331 password")

    def _pass(self, rest: str) -> None:
        self._say("230 in" if rest == self._script.password else f"530 not {rest}")

    def _type(self, _rest: str) -> None:
        self._say("200 ok")

    _pbsz = _prot = _type

    def _pasv(self, _rest: str) -> None:
        self._data = self._stack.enter_context(socket.create_server((HOST, 0)))
        port = self._data.getsockname()[1]
        self._say(f"227 at (127,0,0,1,{port >> 8},{port & 255})")

    def _size(self, name: str) -> None:
        file = self._script.files.get(name)
        self._say("550 no such file" if file is None else f"213 {len(file)}")

    def _dele(self, name: str) -> None:
        self._say("550 no such file" if self._script.files.pop(name, None) is None else "250 gone")

    def _open_data(self) -> ssl.SSLSocket:
        assert self._data is not None
        self._say("150 go on")
        data = self._context.wrap_socket(self._data.accept()[0], server_side=True)
        self._script.reused.append(bool(data.session_reused))
        return data

    def _retr(self, name: str) -> None:
        with self._open_data() as data, contextlib.suppress(OSError):
            data.sendall(self._script.files[name])
            data.unwrap()
        self._say("226 sent")

    def _stor(self, name: str) -> None:
        script, found = self._script, bytearray()
        with self._open_data() as data:
            script.began.set()
            while piece := data.recv(65536):
                found += piece
                if script.breaks_after is not None and len(found) > script.breaks_after:
                    script.files[name], script.breaks_after = bytes(found), None
                    raise ConnectionError
            script.files[name] = bytes(found)
            if script.stalls is not None:
                script.stalls.wait(60)
            if not script.hangs_at_goodbye:
                with contextlib.suppress(OSError):
                    data.unwrap()
                script.files[name] = bytes(found[: script.cuts_to])
                self._say("226 stored")
                return
            self._say("226 stored")
            with contextlib.suppress(OSError):
                socket.socket.recv(data, 1)  # until the client closes, unanswered


@contextlib.contextmanager
def ftps(folder: Path, script: FtpScript, serial: str = SERIAL) -> Iterator[int]:
    context = server_context(folder, serial)
    with serving(context, lambda peer: FtpTalk(peer, context, script).run()) as port:
        yield port
