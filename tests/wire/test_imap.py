"""IMAP servers that are not well: they drip, lie about sizes, talk without end. Each costs a bounded time and memory, and one clear error.

What a good server does is shown with a real dovecot, below and in tests/marketplaces/mailbox.
"""

import asyncio
import base64
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient, Unsound
from agent.wire import imap
from agent.wire.imap import ImapServer, ImapSession
from agent.wire.tls import trusting
from tests.rigs.dovecot import PASSWORD, USER, running_dovecot

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SECRET = "hunter2-secret"


@contextlib.asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[ImapServer]:
    """In plain text on loopback; it says what `talk` says."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = listening.sockets[0].getsockname()[1]
        yield ImapServer("127.0.0.1", port, "user", lambda: SECRET, None)
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(**answers: bytes) -> Talk:
    """A server that lets anybody in; to a command it says this before its OK."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        while line := await reader.readline():
            tag, command, *_ = [*line.split(), b""]
            name = line.split()[2] if command == b"UID" else command
            writer.write(answers.get(name.decode().lower(), b"") + tag + b" OK done\r\n")
            await writer.drain()

    return talk


async def until_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"* OK hello\r\n")
    for _ in range(3):  # CAPABILITY, LOGIN, CAPABILITY
        tag = (await reader.readline()).split()[0]
        writer.write(tag + b" OK done\r\n")


# --- a real one -----------------------------------------------------------------------------------------------------


async def test_a_real_server_is_read_and_its_certificate_checked(tmp_path: Path) -> None:
    with running_dovecot(plain_text_login=True) as dovecot:
        trusted = trusting(dovecot.ca_file)
        dovecot.deliver(b"Subject: one\r\n\r\n" + b"x" * 5000 + b"\r\n")
        for tls, port, starttls in ((trusted, dovecot.port, False), (trusted, dovecot.plain_port, True), (None, dovecot.plain_port, False)):
            async with ImapSession(ImapServer("127.0.0.1", port, USER, lambda: PASSWORD, tls, starttls)) as session:
                assert (await session.examine("INBOX")).mails == 1
                (uid,) = await session.uids_since(date(2020, 1, 1))
                (summary,) = await session.summaries([uid, uid + 7])
                assert abs((datetime.now(UTC) - summary.received_at).total_seconds()) < 60
                assert (await session.header(uid, 9)) == b"Subject: "
                await session.save(uid, tmp_path / "mail", 10_000)
                assert (tmp_path / "mail").stat().st_size == summary.bytes == 5018
                with pytest.raises(Refused, match="gone"):
                    await session.header(uid + 1, 100)
                with pytest.raises(Refused, match="no"):
                    await session.examine("Nowhere")
                assert (await session.examine("INBOX")).mails == 1, "a no is no end"
        with pytest.raises(NeedsOperator, match="cannot be trusted"):
            await ImapSession(ImapServer("127.0.0.1", dovecot.port, USER, lambda: PASSWORD, trusting(None))).__aenter__()
        with pytest.raises(NeedsOperator, match="does not let") as refused:
            await ImapSession(ImapServer("127.0.0.1", dovecot.port, USER, lambda: SECRET, trusted)).__aenter__()
        assert SECRET not in repr(refused.value)
        with pytest.raises(Refused, match="larger"):
            async with ImapSession(ImapServer("127.0.0.1", dovecot.port, USER, lambda: PASSWORD, trusted)) as session:
                await session.examine("INBOX")
                await session.save(uid, tmp_path / "mail", 1000)
        assert set(dovecot.flags()) == {""}


# --- others ---------------------------------------------------------------------------------------------------------


async def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "COMMAND_S", 0.3)

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"*")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with server(talk) as dripping:
        began = time.monotonic()
        with pytest.raises(Transient, match="too long"):
            await ImapSession(dripping).__aenter__()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "answer",
    [
        b"* 1 FETCH (UID 5 BODY[HEADER]<0> {9999999999}\r\nabc",
        b"* 1 FETCH (UID 5 BODY[HEADER]<0> {10000000}\r\n" + b"a" * 10_000_000 + b")\r\n",
        b"* 1 FETCH (UID 5 BODY[HEADER]<0> " + b"a" * 3_000_000 + b"\r\n",
        b"* 1 FETCH (X {1}\r\na" + b" {1}\r\na" * 1000 + b")\r\n",
        b"* 1 EXISTS\r\n" * 30_000,
        b"* 1 FETCH (UID 5 X {500000}\r\n" * 1 + b"a" * 500_000 + b")\r\n" * 1 + (b"* X {500000}\r\n" + b"a" * 500_000 + b"\r\n") * 20,
    ],
    ids=["gigabytes announced", "a header of 10 MB", "a line without end", "literals without end", "replies without end", "much of it"],
)
async def test_what_is_too_much_is_not_taken(answer: bytes) -> None:
    async with server(answering(fetch=answer)) as greedy:
        with pytest.raises(Unsound):
            async with ImapSession(greedy) as session:
                await session.header(5, 1000)


async def test_a_mail_that_is_larger_than_it_said_is_cut(tmp_path: Path) -> None:
    answer = b"* 1 FETCH (UID 5 BODY[]<0> {5000000}\r\n" + b"a" * 5_000_000 + b")\r\n"
    async with server(answering(fetch=answer)) as lying:
        with pytest.raises(Refused) as refused:
            async with ImapSession(lying) as session:
                await session.save(5, tmp_path / "mail", 100_000)
    assert refused.value.code == "mail_too_large"
    assert (tmp_path / "mail").stat().st_size <= 100_000


async def test_a_mail_of_another_number_is_not_taken_for_it() -> None:
    async with server(answering(fetch=b'* 1 FETCH (UID 6 BODY[HEADER]<0> "From: x")\r\n')) as odd, ImapSession(odd) as session:
        with pytest.raises(Refused, match="gone"):
            await session.header(5, 1000)


async def test_words_slipped_in_before_tls_are_not_believed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        await reader.readline()
        writer.write(b"a1 OK begin\r\na2 OK done\r\n* CAPABILITY IMAP4rev1\r\n")
        await writer.drain()
        await reader.read()

    async with server(talk) as plain:
        injected = ImapServer(plain.host, plain.port, "user", plain.secret, ssl.create_default_context(), starttls=True)
        with pytest.raises(Unsound, match="before TLS"):
            await ImapSession(injected).__aenter__()


@pytest.mark.parametrize("right", [True, False])
async def test_a_token_is_given_as_xoauth2(right: bool) -> None:
    given_: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        while line := await reader.readline():
            tag, command = line.split()[:2]
            if command == b"AUTHENTICATE":
                writer.write(b"+ \r\n")
                given_.append(base64.b64decode(await reader.readline()))
                if not right:
                    writer.write(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n")
                    assert await reader.readline() == b"\r\n"
            writer.write(tag + (b" OK done\r\n" if right or command != b"AUTHENTICATE" else b" NO bad token\r\n"))

    async with server(talk) as plain:
        session = ImapSession(ImapServer(plain.host, plain.port, "me@x.example", lambda: "token", None, oauth=True))
        with contextlib.nullcontext() if right else pytest.raises(NeedsOperator):
            async with session:
                pass
    assert given_ == [b"user=me@x.example\x01auth=Bearer token\x01\x01"]


@pytest.mark.parametrize("goodbye", [b"* BYE shutting down\r\n", b""])
async def test_a_line_that_ends_while_it_waits(goodbye: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until_asked(reader, writer)
        await reader.readline()
        writer.write(b"+ idling\r\n* OK still here\r\n" + goodbye)
        await writer.drain()

    async with server(talk) as ending:
        with pytest.raises(Transient):
            async with ImapSession(ending) as session:
                await session.idle(5)


_WORDS = [
    *(b"* ", b"a4 OK\r\n", b"a5 OK x\r\n", b"a6 OK\r\n", b"a7 NO\r\n", b"{5}\r\n", b"[UIDVALIDITY 3]", b"+\r\n", b"\r\n", b"7 EXISTS\r\n"),
    *(
        b"* SEARCH 5 99999999999\r\n",
        b"* 1 FETCH (",
        b"UID 5 ",
        b"RFC822.SIZE 7 ",
        b'INTERNALDATE "x" ',
        b'INTERNALDATE " 7-Nov-0000 99:00:00 +9999" ',
    ),
    *(b"BODY[HEADER] ", b'"a\\', b'"', b"NIL", b")\r\n", b"BYE\r\n", b"\xff", b"\0"),
]


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.binary(max_size=300) | st.lists(st.sampled_from(_WORDS), max_size=30).map(b"".join))
@example(said=b'* 1 FETCH (UID 5 RFC822.SIZE 7 INTERNALDATE " 7-Nov-0000 99:00:00 +9999")\r\na4 OK\r\n')
async def test_whatever_a_server_says_it_is_one_of_our_errors_or_an_answer(said: bytes, tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until_asked(reader, writer)
        writer.write(said)
        await writer.drain()

    async with server(talk) as odd:
        for ask in (
            lambda session: session.examine("INBOX"),
            lambda session: session.uids_since(date(2026, 1, 1)),
            lambda session: session.summaries([5]),
            lambda session: session.header(5, 10),
            lambda session: session.save(5, tmp_path / "mail", 10),
        ):
            with contextlib.suppress(AgentError):
                async with ImapSession(odd) as session:
                    await ask(session)


async def test_nobody_there() -> None:
    async with server(answering()) as gone:
        pass
    with pytest.raises(Transient, match="cannot be reached"):
        await ImapSession(gone).__aenter__()
