"""One mail from the server to what becomes of it: told apart, taken apart, read, and made an order, a question, or nothing."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.domain.errors import Refused, Transient
from agent.domain.offer import Offer
from agent.domain.values import one_line
from agent.marketplaces.mailbox.files import Links, match
from agent.marketplaces.mailbox.opening import MailModel, OpenedMail, open_mail
from agent.marketplaces.mailbox.post import Differs, Letter, Post, TooLate
from agent.marketplaces.mailbox.reading import Reading, read_by
from agent.marketplaces.mailbox.seen import Done, Outcome
from agent.marketplaces.mailbox.templates import Template, for_mail
from agent.marketplaces.mailbox.trust import HEADER_BYTES, Head, read_head
from agent.ports.notifier import Notice, Notifier, Urgency
from agent.wire.imap import ImapSession
from agent.wire.imap_replies import Summary

log = structlog.get_logger()

MOST_TRIES = 3
"""Of links that cannot be had now; later a person is asked."""


class LinkAway(Transient):
    """What a link leads to cannot be had now."""


@dataclass(frozen=True)
class Rules:
    """Whom to believe, and how much to take. `senders`: addresses, and domains as `@domain`. `our_server`: its authserv-id.

    `largest_bytes`: a mail, and all models of one mail together.
    """

    senders: Sequence[str]
    our_server: str
    link_hosts: Sequence[str]
    largest_bytes: int


class Sorting:
    """Deals with the mails of one mailbox. Something becomes of each, whatever is in it. The server's and the disk's errors come out."""

    def __init__(
        self,
        name: str,
        rules: Rules,
        post: Post,
        links: Links,
        templates: Callable[[], Sequence[Template]],
        notifier: Notifier,
        taken: Callable[[Offer], None],
    ) -> None:
        self._name, self._rules, self._post, self._links = name, rules, post, links
        self._templates, self._notifier, self._taken = templates, notifier, taken
        self._tries: dict[int, int] = {}

    async def deal_with(self, session: ImapSession, summary: Summary) -> Done:
        """What became of it. Transient: not now, look again. The server's errors come through, and then the session is of no more use."""
        head = read_head(await session.header(summary.uid, HEADER_BYTES), self._rules.senders, self._rules.our_server)
        if not head.listed:
            log.info("mail_of_others", mailbox=self._name, sender=head.sender, subject=head.subject, why=head.why)
            return _done(Outcome.OTHER, head, head.why)
        if head.why:
            hint = "Nothing is made of it. If it is genuine, look into docs/marketplaces.md."
            log.warning("mail_not_trusted", mailbox=self._name, sender=head.sender, subject=head.subject, why=head.why, hint=hint)
            return _done(Outcome.UNPROVEN, head, head.why)
        templates = for_mail(self._templates(), head.sender, head.subject)
        if not templates:
            why = "no template is for it"
            log.warning("mail_without_template", mailbox=self._name, sender=head.sender, subject=head.subject, why=why)
            return _done(Outcome.OTHER, head, why)
        try:
            return await self._read(session, summary, head, templates)
        finally:
            await asyncio.to_thread(self._post.clear, summary.uid)

    async def _read(self, session: ImapSession, summary: Summary, head: Head, templates: Sequence[Template]) -> Done:
        bench = await asyncio.to_thread(self._post.bench, summary.uid)
        letter = Letter(summary.uid, head.sender, head.subject, head.message_id, summary.received_at)
        if summary.bytes > self._rules.largest_bytes:
            return await self._ask(letter, _unread(templates, f"It is larger than {self._rules.largest_bytes / 1e6:.0f} MB."), None)
        path = bench / "mail.eml"
        try:
            await session.save(summary.uid, path, self._rules.largest_bytes)
        except Refused as refused:
            if refused.code != "mail_too_large":
                raise
            return await self._ask(letter, _unread(templates, str(refused)), None)
        letter = Letter(summary.uid, head.sender, head.subject, head.message_id, summary.received_at, path)
        parts = bench / "parts"
        parts.mkdir()
        try:
            opened = await open_mail(path, parts, self._rules.largest_bytes)
        except Refused as refused:
            return await self._ask(letter, _unread(templates, f"It could not be opened: {refused}."), None)
        reading = await asyncio.to_thread(read_by, templates, letter.subject, opened.text, letter.received_at)
        return await self._take(letter, reading, opened, bench)

    async def _take(self, letter: Letter, reading: Reading, opened: OpenedMail, bench: Path) -> Done:
        reading, models = await self._with_models(letter, reading, opened, bench)
        if reading.order is None:
            return await self._ask(letter, reading, opened)
        try:
            offer, new = await asyncio.to_thread(self._post.take, letter, reading, models, opened.closed)
        except TooLate as late:
            log.warning("mail_too_late", mailbox=self._name, sender=letter.sender, subject=letter.subject, why=str(late))
            return _done(Outcome.LATE, letter, str(late))
        except Differs as differs:
            return await self._ask(letter, reading.asking(str(differs)), opened)
        if new:
            self._taken(offer)
        log.info("mail_taken" if new else "mail_seen_before", mailbox=self._name, offer=offer.offer_id, subject=letter.subject)
        return _done(Outcome.TAKEN if new else Outcome.AGAIN, letter, offer.offer_id)

    async def _with_models(self, letter: Letter, reading: Reading, opened: OpenedMail, bench: Path) -> tuple[Reading, Sequence[MailModel]]:
        """A model for each item, or more questions. LinkAway."""
        if reading.order is None:
            return reading, []
        try:
            linked = await self._links.fetch(reading.order.items, bench, self._rules.largest_bytes)
        except Refused as refused:
            return reading.asking(refused.told()), []
        except Transient as error:
            self._tries[letter.uid] = self._tries.get(letter.uid, 0) + 1
            if self._tries[letter.uid] < MOST_TRIES:
                raise LinkAway(str(error)) from error
            return reading.asking(f"Its links could not be fetched in {MOST_TRIES} tries: {error.told()}"), []
        return match(reading, opened.models, linked)

    async def _ask(self, letter: Letter, reading: Reading, opened: OpenedMail | None) -> Done:
        models, closed = (opened.models, opened.closed) if opened else ([], [])
        folder, new = await asyncio.to_thread(self._post.ask, letter, reading, models, closed)
        if new:
            why = " ".join(reading.questions)[:1500]
            about = {"sender": letter.sender, "subject": letter.subject, "folder": str(folder)}
            log.warning("mail_not_understood", mailbox=self._name, why=why, **about)
            text = f"“{letter.subject}” from {letter.sender} needs you: {one_line(why)} All of it lies in {folder}."
            title = f"A mail to {self._name} was not understood"
            await self._notifier.notify(Notice(event="mail_not_understood", title=title, text=text, urgency=Urgency.ACT))
        return _done(Outcome.QUESTION, letter, str(folder))


def _unread(templates: Sequence[Template], question: str) -> Reading:
    """A mail that no template was tried on."""
    return Reading(template=templates[0].title, fields=[], questions=[question])


def _done(outcome: Outcome, mail: Head | Letter, about: str) -> Done:
    return Done(outcome=outcome, sender=mail.sender, subject=mail.subject, about=about)
