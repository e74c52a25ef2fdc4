"""Mails as a marketplace could send them, a mailbox over a real dovecot, and what a person was told."""

import asyncio
import io
import zipfile
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from agent.domain.offer import Offer
from agent.marketplaces.mailbox.files import Links
from agent.marketplaces.mailbox.marketplace import Mailbox
from agent.marketplaces.mailbox.sorting import Rules
from agent.ports.notifier import Notice
from agent.sandbox.models import binary_stl, box
from agent.wire.imap import ImapServer
from agent.wire.tls import trusting
from tests.rigs.dovecot import PASSWORD, USER, Dovecot

SENDER = "orders@marketplace.example"
OUR_SERVER = "mx.example.org"
PROVEN = f"{OUR_SERVER}; dkim=pass header.d=marketplace.example header.s=a header.b=Ab/c+=; dmarc=pass header.from=marketplace.example"
PATIENCE_S = 8.0
HOOK = binary_stl(box(12, 12, 2))
LID = binary_stl(box(20, 10, 3))
SHIP_BY = datetime.now(UTC).date() + timedelta(days=10)
ITEM = "File: hook.stl\nQuantity: 2\nMaterial: PET-G\nColour: black\nInfill: 40 %\nSupports: no\n"
TEXT = f"Hello Ann,\n\nThere is a new order for you.\nYou earn: 12.50 EUR\nShip by: {SHIP_BY}\nAnswer within: 15 minutes\n\n{ITEM}"

Logs = list[MutableMapping[str, Any]]


def text(**changed: str) -> str:
    """The usual order, with other values behind some labels: `text(Infill="150 %")`. An empty one takes the line out."""
    lines = []
    for line in TEXT.splitlines():
        label = line.partition(":")[0]
        value = changed.pop(label.replace(" ", "_").replace("-", "_"), None)
        lines += [line] if value is None else [f"{label}: {value}"] if value else []
    assert not changed, changed
    return "\n".join(lines) + "\n"


def mail(
    body: str = TEXT,
    *,
    number: str = "MX-4711",
    subject: str | None = None,
    sender: str = f'"Marketplace" <{SENDER}>',
    verdicts: Sequence[str] = (PROVEN,),
    files: Mapping[str, bytes] | None = None,
    html: bool = False,
    message_id: str = "<1@marketplace.example>",
) -> bytes:
    """A mail with an order of one hook, as it lies in the mailbox. `verdicts`: Authentication-Results, top down."""
    message = EmailMessage()
    for verdict in verdicts:
        message["Authentication-Results"] = verdict
    message["From"] = sender
    message["To"] = "shop@example.org"
    message["Subject"] = f"New offer {number}" if subject is None else subject
    message["Message-ID"] = message_id
    message.set_content(body, subtype="html" if html else "plain")
    for name, content in ({"hook.stl": HOOK} if files is None else files).items():
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content, compress_type=compression)
    return packed.getvalue()


class Told:
    """Implements ports.notifier.Notifier: what a person was told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def notify(self, notice: Notice) -> None:
        self.notices.append(notice)

    async def aclose(self) -> None: ...

    @property
    def texts(self) -> list[str]:
        return [notice.text for notice in self.notices]


def mail_server(server: Dovecot, **changed: Any) -> ImapServer:
    settings = {"host": "127.0.0.1", "port": server.port, "username": USER, "secret": lambda: PASSWORD, "tls": trusting(server.ca_file)}
    return ImapServer(**{**settings, **changed})


def mailbox(
    server: ImapServer,
    state: Path,
    told: Told | None = None,
    *,
    links: Links | None = None,
    largest_bytes: int = 5_000_000,
    poll_s: float = 0.2,
    answer_within_s: float = 900.0,
    templates_dir: Path | None = None,
) -> Mailbox:
    return Mailbox(
        "post",
        server,
        "INBOX",
        Rules(senders=[SENDER, "@table.marketplace.example"], our_server=OUR_SERVER, link_hosts=[], largest_bytes=largest_bytes),
        state,
        told or Told(),
        templates_dir=templates_dir,
        answer_within_s=answer_within_s,
        poll_s=poll_s,
        look_back_days=2,
        links=links,
    )


async def until(market: Mailbox, reached: Callable[[list[Offer]], bool]) -> list[Offer]:
    """What the intake does, until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not reached(offers := list(await market.offers())):
            await market.wait_for_news()
        return offers


async def offered(market: Mailbox, count: int = 1) -> list[Offer]:
    return await until(market, lambda offers: len(offers) == count)


async def dealt_with(market: Mailbox, logs: Logs, event: str, count: int = 1) -> Logs:
    """Until the log says this so many times; no more than that."""

    def found() -> Logs:
        return [entry for entry in logs if entry["event"] == event]

    await until(market, lambda _: len(found()) >= count)
    assert len(found()) == count
    return found()
