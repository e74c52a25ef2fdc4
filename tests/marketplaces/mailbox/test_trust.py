"""Whose mails are believed: a listed sender, whose domain our own mail server found proven. Nothing else in a mail helps it."""

import time
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.marketplaces.mailbox.trust import read_head
from agent.marketplaces.mailbox.verdicts import LONGEST, Result, read_verdicts
from tests.marketplaces.mailbox.bench import OUR_SERVER, PROVEN, SENDER, Logs, Told, dealt_with, mail, mail_server, mailbox
from tests.rigs.dovecot import Dovecot

ALLOWED = [SENDER, "@shop.example"]


def why(*verdicts: str, sender: str = SENDER) -> str:
    """Why a mail with these headers is not believed, empty where it is."""
    lines = [*(f"Authentication-Results: {verdict}" for verdict in verdicts), f"From: {sender}", "Subject: New offer 1"]
    return read_head("\r\n".join([*lines, "", ""]).encode(), ALLOWED, OUR_SERVER).why


@pytest.mark.parametrize(
    "verdict",
    [
        PROVEN,
        "mx.example.org; dmarc=pass header.from=marketplace.example",
        "MX.Example.Org 1; dmarc=pass (p=REJECT sp=(nested) dis=NONE) header.from=marketplace.example",
        "mx.example.org;\r\n dkim=pass header.d=marketplace.example;\r\n spf=fail smtp.mailfrom=x@y.example;",
        'mx.example.org; dkim=fail reason="no; key" header.d=other.example; dkim/1=pass header.d="marketplace.example"',
        "mx.example.org; dkim=pass header.i=@marketplace.example header.s=s1 header.b=Ab/c+d==",
    ],
)
def test_our_server_vouches_for_the_domain(verdict: str) -> None:
    assert why(verdict) == ""


@pytest.mark.parametrize(
    "verdict",
    [
        "mx.example.org; none",
        "mx.example.org",
        "mx.example.org; spf=pass smtp.mailfrom=orders@marketplace.example",
        "mx.example.org; dkim=fail header.d=marketplace.example",
        "mx.example.org; dkim=pass header.d=evil.example",
        "mx.example.org; dkim=pass header.d=sub.marketplace.example",
        "mx.example.org; dkim=pass header.d=evil-marketplace.example",
        "mx.example.org; dkim=pass header.d=example",
        "mx.example.org; dkim=pass",
        "mx.example.org; dmarc=pass",
        "mx.example.org; dmarc=pass header.from=evil.example",
        "mx.example.org; dmarc=bestguesspass header.from=marketplace.example",
        "mx.example.org; dmarc=fail header.from=marketplace.example; dkim=pass header.d=marketplace.example",
        "mx.example.org; (dmarc=pass header.from=marketplace.example) none",
        'mx.example.org; spf=fail reason="; dmarc=pass header.from=marketplace.example"',
        "mx.example.org; dkim=pass header.d=evil.example header.d=marketplace.example",
        "mx.example.org.evil.example; dmarc=pass header.from=marketplace.example",
        "mx.evil.example; dmarc=pass header.from=marketplace.example",
    ],
)
def test_what_does_not_prove_the_sender(verdict: str) -> None:
    assert why(verdict) != ""


def test_only_the_topmost_verdict_of_our_server_counts() -> None:
    """What is below came with the mail."""
    refused = "mx.example.org; dmarc=fail header.from=marketplace.example"
    assert why(refused, PROVEN) != ""
    assert why("mx.example.org; dmarc=pass (broken header.from=", PROVEN) != "", "one that cannot be read is no reason to believe another"
    assert why("other.example; dkim=fail header.d=marketplace.example", PROVEN) == "", "another server's word is none"
    assert why() == "it bears no verdict of mx.example.org"


@pytest.mark.parametrize(
    "sender",
    [
        f'"{SENDER}" <thief@evil.example>',
        f"{SENDER} <thief@evil.example>",
        f"{SENDER}, thief@evil.example",
        f"thief@evil.example\r\nFrom: {SENDER}",
        f"{SENDER}\r\nFROM : thief@evil.example\r\nfrom: thief@evil.example",
        f"friends: {SENDER};, thief@evil.example",
        "orders@marketplace.example.evil.example",
        "orders@evilmarketplace.example",
        "other@marketplace.example",
        "a@sub.shop.example",
        f"<{SENDER}",
        f"=?utf-8?q?{SENDER.replace('@', '=40')}?= <thief@evil.example>",
        "orders@märketplace.example",
        "",
        "(" * 900,
        f"{SENDER}{' ' * 2000}",
    ],
)
def test_the_address_alone_says_whom_it_is_from(sender: str) -> None:
    head = read_head(f"Authentication-Results: {PROVEN}\r\nFrom: {sender}\r\n\r\n".encode(), ALLOWED, OUR_SERVER)
    assert head.why != ""
    assert not head.listed


@pytest.mark.parametrize("sender", [SENDER, f"Shop Inc. <{SENDER.upper()}>", f'"a, b" <{SENDER}>', f"=?utf-8?q?B=C3=A4r?= <{SENDER}>"])
def test_usual_ways_to_write_an_address(sender: str) -> None:
    assert why(PROVEN, sender=sender) == ""


def test_a_whole_domain_may_be_listed() -> None:
    assert why("mx.example.org; dmarc=pass header.from=shop.example", sender="anybody@shop.example") == ""


def test_a_subject_is_shown_without_tricks() -> None:
    header = b"From: x@y.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe=0Aerror=1B[2J?=\r\n\r\n"
    subject = read_head(header, ALLOWED, OUR_SERVER).subject
    assert subject.startswith("Grüße")
    assert subject.replace("\N{REPLACEMENT CHARACTER}", "").isprintable()


@settings(deadline=None)
@given(st.binary(max_size=3000))
@example(b"From: " + b"<" * 900 + b"\r\n\r\n")
@example(b"Subject: =?\xff?b?" + b"=" * 500 + b"?=\r\n\r\n")
@example(b"From: a@b.example (((((((((" + b"(" * 900 + b"\r\n\r\n")
def test_any_bytes_are_a_header_of_nobody(header: bytes) -> None:
    assert read_head(header, ALLOWED, OUR_SERVER).why != ""


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from(list('abm x.=;()"\\/@\n1-')), max_size=200))
def test_any_text_is_a_verdict_or_none(text: str) -> None:
    verdicts = read_verdicts(text)
    assert verdicts is None or all(isinstance(result, Result) for result in verdicts.results)


@pytest.mark.parametrize("part", ["(", '"', "\\", "a=b ", ";", "a;a=b;", 'a="', "a=b;" * 2 + '"'])
def test_the_longest_header_is_read_in_no_time(part: str) -> None:
    began = time.monotonic()
    read_verdicts(f"mx.example.org; {part * (LONGEST // len(part) - 20)}")
    assert read_verdicts("x" * (LONGEST + 1)) is None
    assert time.monotonic() - began < 1


def test_a_huge_header_is_cut() -> None:
    message = EmailMessage()
    message["From"] = SENDER
    huge = b"X-Long: " + b"a" * 10_000_000 + b"\r\n" + message.as_bytes()
    began = time.monotonic()
    assert read_head(huge, ALLOWED, OUR_SERVER).why != ""
    assert time.monotonic() - began < 2


async def test_a_forged_mail_makes_nothing_and_is_told_once(server: Dovecot, state: Path, told: Told, logs: Logs) -> None:
    server.deliver(mail(verdicts=["mx.example.org; dmarc=fail header.from=marketplace.example", PROVEN]))
    server.deliver(mail(sender="thief@evil.example", message_id="<2@x>"))
    async with mailbox(mail_server(server), state, told) as market:
        (entry,) = await dealt_with(market, logs, "mail_not_trusted")
        assert (entry["sender"], entry["subject"]) == (SENDER, "New offer MX-4711")
        await dealt_with(market, logs, "mail_of_others")
        assert await market.offers() == []
    async with mailbox(mail_server(server), state, told) as market:
        assert await market.offers() == []
    assert len([entry for entry in logs if entry["event"] == "mail_not_trusted"]) == 1
    assert told.notices == []
    assert sorted(path.name for path in state.iterdir()) == ["questions", "seen.json", "taken", "work"]
    assert [list((state / name).iterdir()) for name in ("questions", "taken", "work")] == [[], [], []]
