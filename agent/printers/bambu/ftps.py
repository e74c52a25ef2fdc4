"""Files on the printer: implicit FTPS, one connection for each thing to do. Blocking: for a thread.

vsFTPd on X1 and P2S wants the data connection to go on with the control connection's TLS session (522 otherwise) and to be closed by
TLS's own goodbye, or it cuts the file short (seen with vsftpd 3.0.3). P1 and A1 are said to hang at that goodbye, so it has a limit
(read; not seen on hardware). Nothing but the size on the printer says that a file arrived.
"""

import contextlib
import ftplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.domain.values import one_line
from agent.printers.bambu.access import USER, BambuAccess

ANSWER_S = 10.0
"""To connect, and for every answer."""
SLOWEST_BYTES_S = 30_000
"""Printers take 50 to 150 kB/s (read)."""
STALL_S = 30.0
"""For one piece of a file: a memory card that is flushed takes nothing for seconds."""
STORED_S = 90.0
"""From the last byte to the printer's word that it has the file: 30 s and more were told of H2D (read)."""
GOODBYE_S = 3.0
_PIECE = 64 * 1024


def sending_s(size: int) -> float:
    """How long a file of that size may take in all."""
    return STALL_S + STORED_S + 3 * ANSWER_S + size / SLOWEST_BYTES_S


class PrinterFiles:
    """One printer's memory card. One thing at a time."""

    def __init__(self, access: BambuAccess, context: ssl.SSLContext) -> None:
        self._access, self._context = access, context
        self._sending: list[socket.socket] = []
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """From any thread: an upload at work ends at once, with Transient; its half file is deleted where that is still possible."""
        self._given_up.set()
        for sock in list(self._sending):
            with contextlib.suppress(OSError):  # it was closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def store(self, file: IO[bytes], size: int, name: str) -> None:
        """Under exactly that name, replacing what is there. Transient: it is not there whole; a half file was deleted, or says so."""
        self._given_up.clear()
        until = time.monotonic() + sending_s(size)
        try:
            self._sent(file, size, name, until)
        except AgentError as error:
            if isinstance(error, NeedsOperator):
                raise
            left = self._deleted(name)
            error.hint = " ".join(part for part in (error.hint, left) if part)
            raise

    def size(self, name: str) -> int | None:
        """In bytes; None where there is no such file."""
        with self._open() as ftp:
            return _size(ftp, name)

    def head(self, name: str, length: int) -> bytes:
        """Its first bytes. The printer is left in the middle of its sentence, with this connection."""
        with self._open() as ftp:
            ftp.voidcmd("TYPE I")
            found = bytearray()
            with ftp.transfercmd(f"RETR {name}") as data:
                while len(found) < length and (piece := data.recv(min(_PIECE, length - len(found)))):
                    found += piece
            return bytes(found)

    def _sent(self, file: IO[bytes], size: int, name: str, until: float) -> None:
        with self._open() as ftp:
            ftp.voidcmd("TYPE I")
            ftp.timeout = STALL_S
            with ftp.transfercmd(f"STOR {name}") as data:
                assert ftp.sock is not None
                self._sending = [ftp.sock, data]
                while piece := file.read(_PIECE):
                    self._require_time(until)
                    data.sendall(piece)
                _goodbye(data)
            ftp.sock.settimeout(STORED_S)
            ftp.voidresp()
            ftp.sock.settimeout(ANSWER_S)
            self._sending = []
            stored = _size(ftp, name)
        if stored != size:
            text = f"Of {size} bytes of {name} the printer has {0 if stored is None else stored}."
            raise Transient(text, hint="Is its memory card full, or worn out?", code="cut_short")

    def _deleted(self, name: str) -> str:
        """What remains to be said of a half file."""
        try:
            with self._open() as ftp:
                if _size(ftp, name) is not None:
                    ftp.delete(name)
        except AgentError:
            return f"A part of {name} may lie on the printer; the next upload replaces it."
        return ""

    def _require_time(self, until: float) -> None:
        if self._given_up.is_set():
            raise Transient("The upload was given up.", code="given_up")
        if time.monotonic() > until:
            raise Transient("The upload to the printer is too slow.", hint="Is its Wi-Fi any good there?", code="timeout")

    @contextlib.contextmanager
    def _open(self) -> Iterator["_ImplicitFtps"]:
        """Logged in, and closed without waiting for a goodbye, which some printers never say."""
        ftp = _ImplicitFtps(self._context)
        try:
            _translated(self._access, lambda: ftp.enter(self._access))
            with _told(self._access):
                yield ftp
        finally:
            ftp.close()


class _ImplicitFtps(ftplib.FTP_TLS):
    """TLS from the first byte, also on every data connection, with the same session."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context, timeout=ANSWER_S)

    def enter(self, access: BambuAccess) -> None:
        self.host, self.port = access.host, access.ftps_port
        raw = socket.create_connection((self.host, self.port), ANSWER_S)
        self.af = raw.family
        self.sock = self.context.wrap_socket(raw, server_hostname=self.host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        self.login(USER, access.access_code)
        self.prot_p()

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        raw, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.context.wrap_socket(raw, server_hostname=self.host, session=self.sock.session), size


def _size(ftp: ftplib.FTP, name: str) -> int | None:
    try:
        ftp.voidcmd("TYPE I")
        return ftp.size(name)
    except ftplib.error_perm as error:
        if str(error).startswith("550"):
            return None
        raise


def _goodbye(data: socket.socket) -> None:
    """TLS's own, answered or not: the printer's word and the file's size come after it."""
    assert isinstance(data, ssl.SSLSocket)
    data.settimeout(GOODBYE_S)
    with contextlib.suppress(TimeoutError, ssl.SSLError, ConnectionError):
        data.unwrap()


@contextlib.contextmanager
def _told(access: BambuAccess) -> Iterator[None]:
    """The one place where ftplib's, ssl's and the sockets' errors become the domain's."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise NeedsOperator(
            f"The certificate of {access.host} is not to be trusted: {error.verify_message}.",
            hint="Is this the right printer, and ca_file Bambu Lab's certificate authority?",
            code="bad_certificate",
        ) from error
    except ftplib.Error as error:
        raise _refusal(access, str(error)) from None
    except TimeoutError as error:
        raise Transient("The printer's FTPS did not answer in time.", hint="Is its Wi-Fi any good there?", code="timeout") from error
    except (OSError, EOFError, ValueError) as error:
        what = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
        raise Transient(
            f"The printer's FTPS at {access.host}:{access.ftps_port} was lost: {what}.", hint="Is it on?", code="unreachable"
        ) from error


def _translated(access: BambuAccess, call: Callable[[], Any]) -> None:
    with _told(access):
        call()


def _refusal(access: BambuAccess, answer: str) -> AgentError:
    """By the number it answers with. Its words may hold what it was told, so the access code is taken out."""
    words = one_line(answer[:200].replace(access.access_code, "…"))
    match answer[:3]:
        case "530":
            hint = "Read it anew in the printer's network settings: it changes whenever LAN or Developer Mode is switched."
            return NeedsOperator(f"The printer at {access.host} refuses the access code.", hint=hint, code="wrong_password")
        case "452" | "552":
            return NeedsOperator(
                f"The printer has no room for the file: {words}.", hint="Delete files on its memory card.", code="card_full"
            )
        case "550" | "553":
            hint = "Is there a memory card in it, and can it be written?"
            return Refused(f"The printer does not take the file: {words}.", hint=hint, code="upload_refused")
    return Transient(f"The printer's FTPS says: {words}.", hint="It may be busy.", code="ftps")
