"""One connection to an IMAP server (RFC 3501, IDLE: RFC 2177) that only reads: EXAMINE and BODY.PEEK change no flag.

Every command has a limit of time, every reply one of memory, whatever the server says of its sizes: a server that drips, or announces
gigabytes, costs the connection and nothing else. Not one connection is used twice after an error; whoever has it closes it.
"""

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import BinaryIO, Self

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient, Unsound
from agent.wire.imap_replies import Reply, Summary, inline_body, summary_in, uids_in

CONNECT_S = 15.0
COMMAND_S = 30.0
LEAST_S, SLOWEST_BYTES_S, LONGEST_S = 30.0, 50_000, 300.0
"""A mail may take half a minute, and a second more for each 50 kB, and no longer than five minutes."""
_GOODBYE_S = 1.0
_LINE_BYTES = 1 << 20
"""A mailbox of a hundred thousand mails is searched with a reply of one line."""
_MOST_REPLIES = 20_000
_ASKED_AT_ONCE = 200
_CHUNK = 1 << 16
_LITERAL = re.compile(rb"\{([0-9]{1,12})\+?\}\r?\n\Z")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class ImapServer:
    """Where the mailbox is and who we are there. `tls` None: no TLS at all. `starttls`: it begins in plain text.

    `secret`: the password, or with `oauth` an access token (XOAUTH2). It is read anew for each connection.
    """

    host: str
    port: int
    username: str
    secret: Callable[[], str] = field(repr=False)
    tls: ssl.SSLContext | None
    starttls: bool = False
    oauth: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Folder:
    """`uidvalidity`: as long as it stays, a UID means the same mail."""

    uidvalidity: int
    mails: int


@dataclass
class _Sink:
    """Where a mail's bytes go. A server that sends more than it was asked for has told a lie."""

    file: BinaryIO
    limit_bytes: int
    got: int = 0

    def take(self, data: bytes) -> None:
        self.got += len(data)
        if self.got > self.limit_bytes:
            raise Refused(f"The mail is larger than {self.limit_bytes / 1e6:.0f} MB.", code="mail_too_large")
        self.file.write(data)


class ImapSession:
    """One connection, logged in. Enter it; one caller at a time. Errors: `_translated`."""

    def __init__(self, server: ImapServer) -> None:
        self._server = server
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._capabilities: frozenset[bytes] = frozenset()
        self._count = 0
        self._at_rest = True
        """No command is on its way."""
        self._told = False
        """The server told of a change since the last search."""

    async def __aenter__(self) -> Self:
        with _translated(self._server):
            async with asyncio.timeout(CONNECT_S):
                tls = None if self._server.starttls else self._server.tls
                self._reader, self._writer = await asyncio.open_connection(
                    self._server.host, self._server.port, ssl=tls, limit=_LINE_BYTES, happy_eyeballs_delay=0.25
                )
            try:
                await self._begin()
            except BaseException:
                await self._close()
                raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._at_rest:
            with contextlib.suppress(AgentError):
                await self._command("LOGOUT", limit_s=_GOODBYE_S)
        await self._close()

    @property
    def usable(self) -> bool:
        """False after an error on the way: what comes next may still be an answer to what was asked before."""
        return self._at_rest

    @property
    def can_idle(self) -> bool:
        return b"IDLE" in self._capabilities

    # --- what it does -----------------------------------------------------------------------------------------------

    async def examine(self, folder: str) -> Folder:
        """Open a folder to read. Refused where there is none of that name."""
        replies = await self._command(f"EXAMINE {_quoted(folder)}")
        valid = [int(found[1]) for reply in replies if (found := re.search(rb"\[UIDVALIDITY ([0-9]{1,10})\]", reply.line))]
        if len(valid) != 1:
            raise Unsound(f"{self._server} does not say which numbers its mails have (UIDVALIDITY).")
        mails = [int(reply.word(1)) for reply in replies if reply.word(2) == b"EXISTS" and reply.word(1).isdigit()]
        return Folder(valid[0], mails[-1] if mails else 0)

    async def uids_since(self, day: date) -> list[int]:
        """Of the mails that came on that day or later, oldest first."""
        await self._command("NOOP")  # the server may look for new mails only now
        self._told = False  # what comes from here on may be missing in the answer
        replies = await self._command(f"UID SEARCH SINCE {day.day}-{_MONTHS[day.month - 1]}-{day.year}")
        return sorted({uid for reply in replies if reply.word(1) == b"SEARCH" for uid in uids_in(reply.line)})

    async def summaries(self, uids: Sequence[int]) -> list[Summary]:
        """Of those that are still there, oldest first."""
        found: dict[int, Summary] = {}
        for start in range(0, len(uids), _ASKED_AT_ONCE):
            some = ",".join(str(uid) for uid in uids[start : start + _ASKED_AT_ONCE])
            for reply in await self._command(f"UID FETCH {some} (UID INTERNALDATE RFC822.SIZE)"):
                with _translated(self._server):
                    summary = summary_in(reply) if reply.word(2) == b"FETCH" else None
                if summary is not None and summary.uid in uids:
                    found[summary.uid] = summary
        return [found[uid] for uid in sorted(found)]

    async def header(self, uid: int, limit_bytes: int) -> bytes:
        """The beginning of a mail's header, of at most that many bytes."""
        return (await self._body(uid, f"BODY.PEEK[HEADER]<0.{limit_bytes}>", limit_bytes, None))[:limit_bytes]

    async def save(self, uid: int, into: Path, limit_bytes: int) -> None:
        """Write a whole mail to a file. Refused (mail_too_large, mail_gone)."""
        with into.open("wb") as file:
            sink = _Sink(file, limit_bytes)
            rest = await self._body(uid, f"BODY.PEEK[]<0.{limit_bytes + 1}>", limit_bytes, sink)
            sink.take(rest)

    async def idle(self, limit_s: float) -> None:
        """Return when the server tells of something, at once if it did since the last search, or when the time is up.

        Only where `can_idle`. Who is cancelled in it has a session of no more use."""
        if self._told:
            return
        with _translated(self._server):
            async with asyncio.timeout(COMMAND_S):
                tag = await self._send("IDLE")
                await self._until_invited(tag)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._news()
            async with asyncio.timeout(COMMAND_S):
                self._writer.write(b"DONE\r\n")
                await self._finish(tag, None)

    # --- connecting -------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        async with asyncio.timeout(COMMAND_S):
            greeting = await self._reply(None)
        if greeting.word(1) != b"OK":
            raise Transient(f"{self._server} does not want to talk now: {_shown(greeting.line)}.")
        if self._server.starttls and self._server.tls is not None:
            await self._start_tls(self._server.tls)
        await self._ask_capabilities()
        await self._log_in()
        await self._ask_capabilities()

    async def _start_tls(self, tls: ssl.SSLContext) -> None:
        await self._command("STARTTLS")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                if await self._reader.read(1):  # what somebody put in before the encryption would be taken for the server's own word
                    raise Unsound(f"{self._server} says more than it should before TLS.")
        async with asyncio.timeout(CONNECT_S):
            await self._writer.start_tls(tls, server_hostname=self._server.host)

    async def _ask_capabilities(self) -> None:
        replies = await self._command("CAPABILITY")
        self._capabilities = frozenset(
            word for reply in replies if reply.word(1) == b"CAPABILITY" for word in reply.line.upper().split()[2:]
        )

    async def _log_in(self) -> None:
        """By SASL, whose base64 bears any password; a server that has only LOGIN gets that."""
        user, secret = self._server.username, self._server.secret()
        try:
            if self._server.oauth:
                await self._authenticate("XOAUTH2", f"user={user}\1auth=Bearer {secret}\1\1")
            elif b"AUTH=PLAIN" in self._capabilities:
                await self._authenticate("PLAIN", f"\0{user}\0{secret}")
            else:
                await self._command(f"LOGIN {_quoted(user)} {_quoted(secret)}")
        except Refused as refused:
            if refused.code == "unavailable":
                raise Transient(f"{self._server} cannot log anybody in now.") from refused
            raise NeedsOperator(
                f"{self._server} does not let {user} in.",
                hint="See whether user name and password (or token) are right, and whether IMAP is switched on for that mailbox.",
                code="login_refused",
            ) from None  # what the server answered may hold what it was sent

    async def _authenticate(self, mechanism: str, response: str) -> None:
        with _translated(self._server):
            async with asyncio.timeout(COMMAND_S):
                tag = await self._send(f"AUTHENTICATE {mechanism}")
                await self._until_invited(tag)
                self._writer.write(base64.b64encode(response.encode()) + b"\r\n")
                await self._finish(tag, None)

    async def _close(self) -> None:
        """At once: TLS's own goodbye is waited for only for a moment."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._writer.wait_closed()

    # --- commands and replies ---------------------------------------------------------------------------------------

    async def _command(self, text: str, *, limit_s: float = COMMAND_S, sink: _Sink | None = None) -> list[Reply]:
        """Its untagged replies. Refused where the server says NO or BAD."""
        with _translated(self._server):
            async with asyncio.timeout(limit_s):
                return await self._finish(await self._send(text), sink)

    async def _send(self, text: str) -> bytes:
        self._at_rest = False
        self._count += 1
        tag = b"a%d" % self._count
        self._writer.write(tag + b" " + text.encode() + b"\r\n")
        await self._writer.drain()
        return tag

    async def _finish(self, tag: bytes, sink: _Sink | None) -> list[Reply]:
        """All replies until the command of that tag is done. A question on the way (XOAUTH2's way to say no) gets an empty answer."""
        replies: list[Reply] = []
        size = 0
        while len(replies) < _MOST_REPLIES and size <= 4 * _LINE_BYTES:
            reply = await self._reply(sink)
            size += len(reply.line) + sum(len(literal) for literal in reply.literals)
            if reply.line.startswith(b"+"):
                self._writer.write(b"\r\n")
            elif reply.line.startswith(tag + b" "):
                self._at_rest = True
                _must_be_ok(reply)
                return replies
            elif reply.word(1) == b"BYE":
                raise Transient(f"{self._server} ended the connection: {_shown(reply.line)}.")
            else:
                self._told |= reply.word(2) == b"EXISTS"
                replies.append(reply)
        raise Unsound(f"{self._server} answers without end.")

    async def _until_invited(self, tag: bytes) -> None:
        for _ in range(_MOST_REPLIES):
            reply = await self._reply(None)
            if reply.line.startswith(b"+"):
                return
            self._told |= reply.word(2) == b"EXISTS"
            if reply.line.startswith(tag + b" "):
                _must_be_ok(reply)
                break
        raise Unsound(f"{self._server} does not go on with what it offers.")

    async def _news(self) -> None:
        """The next line that tells of a change. Some servers say every few minutes that they are still there."""
        while True:
            reply = await self._reply(None)
            if reply.word(1) == b"BYE":
                raise Transient(f"{self._server} ended the connection: {_shown(reply.line)}.")
            if reply.word(2) in (b"EXISTS", b"EXPUNGE", b"FETCH"):
                return

    async def _reply(self, sink: _Sink | None) -> Reply:
        """One reply: lines, and the literals between them."""
        line, size = b"", 0
        literals: list[bytes] = []
        while True:
            line += await self._reader.readuntil(b"\n")
            literal = _LITERAL.search(line)
            if literal is None:
                return Reply(line.rstrip(b"\r\n"), literals)
            line, announced = line[: literal.start()], int(literal[1])
            size += announced
            if sink is not None:
                await self._stream(announced, sink)
                literals.append(b"")
            elif size > _LINE_BYTES:
                raise Unsound(f"{self._server} sends {announced} bytes where some were asked for.")
            else:
                literals.append(await self._reader.readexactly(announced))
            if len(line) > _LINE_BYTES or len(literals) > 100:
                raise Unsound(f"{self._server} answers without end.")

    async def _stream(self, announced: int, sink: _Sink) -> None:
        left = announced
        while left:
            data = await self._reader.read(min(left, _CHUNK))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            sink.take(data)

    async def _body(self, uid: int, part: str, limit_bytes: int, sink: _Sink | None) -> bytes:
        """What the server sent of that part, or with a sink what did not go there."""
        limit_s = min(LEAST_S + limit_bytes / SLOWEST_BYTES_S, LONGEST_S)
        replies = await self._command(f"UID FETCH {uid} (UID {part})", limit_s=limit_s, sink=sink)
        for reply in replies:
            found = re.search(rb"\bUID ([0-9]{1,10})\b", reply.line) if reply.word(2) == b"FETCH" else None
            if found is not None and int(found[1]) == uid and b"BODY[" in reply.line.upper():
                return reply.literals[0] if reply.literals else inline_body(reply.line)
        raise Refused("The mail is gone.", code="mail_gone")


def _must_be_ok(reply: Reply) -> None:
    if reply.word(1) != b"OK":
        code = "unavailable" if b"[UNAVAILABLE]" in reply.line.upper() else "imap_refused"
        raise Refused(f"The mail server says no: {_shown(reply.line)}.", code=code)


def _quoted(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise NeedsOperator("This mail server wants names and passwords in plain ASCII.", code="not_ascii")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _shown(line: bytes) -> str:
    text = line.decode("ascii", "replace")[:120]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


@contextlib.contextmanager
def _translated(server: ImapServer) -> Iterator[None]:
    """The one place where the connection's errors become the domain's."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise NeedsOperator(
            f"{server} has a certificate that cannot be trusted: {error.verify_message}.",
            hint="Where the server has an authority of its own, name its file in ca_file.",
            code="untrusted_certificate",
        ) from error
    except TimeoutError as error:
        raise Transient(f"{server} takes too long to answer.", code="unreachable") from error
    except asyncio.IncompleteReadError as error:
        raise Transient(f"{server} ended the connection.", code="unreachable") from error
    except (asyncio.LimitOverrunError, ValueError, OverflowError) as error:
        raise Unsound(f"{server} answers what is no IMAP: {type(error).__name__}.") from error
    except OSError as error:
        raise Transient(f"{server} cannot be reached: {error.strerror or error}.", code="unreachable") from error
