"""A marketplace that writes mails: each mail that can be read whole, from a sender that is proven, is an offer.

The mailbox is only ever read; no mail is marked, moved or answered, so a person and their own mail program see it as before. Answering
the marketplace is the person's: `accept` means that they did it there. Photos, submission and delivery are written down in the order's
folder as for every place without a server (serverless.py, taken_orders.py), and a person does them there.

trust.py tells whom a mail is from, unpack.py takes it apart, templates.py and reading.py read it, files.py has its models, post.py keeps
what it became. No mail format of any marketplace is known to us: the templates that come along are examples.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import structlog

from agent.domain.errors import AgentError, Refused, Unsound
from agent.domain.offer import Offer, OfferState
from agent.marketplaces.mailbox.files import Links
from agent.marketplaces.mailbox.post import Post
from agent.marketplaces.mailbox.seen import Done, Outcome, Seen
from agent.marketplaces.mailbox.sorting import MOST_TRIES, LinkAway, Rules, Sorting
from agent.marketplaces.mailbox.templates import Template, load_templates
from agent.marketplaces.serverless import Serverless
from agent.marketplaces.taken_orders import TakenOrders
from agent.ports.notifier import Notifier
from agent.wire.imap import ImapServer, ImapSession
from agent.wire.imap_replies import Summary

log = structlog.get_logger()

IDLE_S = 540.0
"""IDLE is begun anew this often: servers, and routers between, end what is silent for half an hour or less (RFC 2177)."""
_AGAIN = "If you answered the marketplace yourself: move the models into a hot folder, with an order file, to print it all the same."
_NO_LABEL = "Get the label where the marketplace has it, and hand in the photos there if it wants them."


class Mailbox(Serverless):
    """Implements ports.marketplace.Marketplace over one IMAP folder.

    To accept is a person who says that they accepted it at the marketplace; they may say so after the time to answer there.
    """

    answered_by_person = True

    def __init__(
        self,
        name: str,
        server: ImapServer,
        mail_folder: str,
        rules: Rules,
        state: Path,
        notifier: Notifier,
        *,
        templates_dir: Path | None,
        answer_within_s: float,
        poll_s: float,
        look_back_days: int,
        links: Links | None = None,
    ) -> None:
        self._post = Post(state, answer_within_s)
        orders = TakenOrders(self._post.taken, _AGAIN, told_later=True)
        super().__init__(name, orders, self._post.root, (f"No label comes by mail from {name}.", _NO_LABEL))
        self._server, self._mail_folder = server, mail_folder
        self._templates_dir, self._poll_s, self._look_back_days = templates_dir, poll_s, look_back_days
        self._templates: Sequence[Template] = []
        self._seen = Seen(state / "seen.json")
        links = links or Links(rules.link_hosts)
        self._sorting = Sorting(name, rules, self._post, links, lambda: self._templates, notifier, self._orders.add)
        self._session: ImapSession | None = None
        self._looking = asyncio.Lock()
        self._uidvalidity = 0
        self._unsound: dict[int, int] = {}
        """How often the server talked nonsense about a mail: one mail must not keep all others away."""
        self._left = False
        """There are mails that wait to be dealt with; `offers` returned early, so that one that was taken is not kept waiting."""
        self._again = False
        """A mail's links could not be had: it is tried again soon."""

    async def __aenter__(self) -> Self:
        """ConfigError where a template is none. A server that is away must not keep the agent down: `offers` tries, and tells."""
        self._templates = await self._done(load_templates, self._templates_dir)
        await self._done(self._open_state)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._hang_up()

    async def offers(self) -> Sequence[Offer]:
        async with self._looking:
            try:
                session = await self._connected()
                await self._look(session)
            except BaseException:
                await self._hang_up()  # nobody knows what the server would say next
                raise
            if not session.usable:
                await self._hang_up()
            return await self._done(self._orders.open_offers)

    async def wait_for_news(self) -> None:
        """By IDLE where the server can, else until it is time to ask."""
        if self._left:
            return
        session, began = self._session, asyncio.get_running_loop().time()
        if session is not None and session.can_idle:
            try:
                await session.idle(min(self._poll_s, IDLE_S) if self._again else IDLE_S)
                return
            except AgentError as error:
                await self._hang_up()
                log.info("mailbox_line_lost", mailbox=self._name, why=error.told())
                if asyncio.get_running_loop().time() - began > self._poll_s:
                    return  # it held for a while: connect again at once
        await asyncio.sleep(self._poll_s)  # there is nothing to await: nobody tells of a mail

    async def offer(self, offer_id: str) -> Offer:
        """One whose time went by without an answer is open still: a person may yet tell what they answered in time."""
        offer = await super().offer(offer_id)
        return offer.model_copy(update={"state": OfferState.OPEN}) if offer.state is OfferState.EXPIRED else offer

    # --- looking ----------------------------------------------------------------------------------------------------

    async def _connected(self) -> ImapSession:
        if self._session is None:
            session = await ImapSession(self._server).__aenter__()
            self._session = session
            self._uidvalidity = (await session.examine(self._mail_folder)).uidvalidity
        return self._session

    async def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.__aexit__(None, None, None)

    async def _look(self, session: ImapSession) -> None:
        """Deal with the mails that were not dealt with, oldest first, until one was taken."""
        since = (datetime.now(UTC) - timedelta(days=self._look_back_days + 1)).date()
        left = await session.summaries(self._seen.begin(self._uidvalidity, await session.uids_since(since)))
        self._left = self._again = False
        for n, summary in enumerate(left, start=1):
            done = await self._deal_with(session, summary)
            if done is None:
                self._again = True
                continue
            await self._done(self._seen.done, summary.uid, done)
            if done.outcome is Outcome.TAKEN or not session.usable:
                self._left = n < len(left)
                return

    async def _deal_with(self, session: ImapSession, summary: Summary) -> Done | None:
        """None: not now."""
        try:
            with self._disk():
                return await self._sorting.deal_with(session, summary)
        except LinkAway as error:
            log.info("mail_link_away", mailbox=self._name, why=error.told())
            return None
        except Unsound as error:
            self._unsound[summary.uid] = self._unsound.get(summary.uid, 0) + 1
            if self._unsound[summary.uid] < MOST_TRIES:
                raise
            log.warning("mail_not_to_be_had", mailbox=self._name, uid=summary.uid, why=error.told(), hint="Look at it yourself.")
            return Done(outcome=Outcome.OTHER, about=str(error))
        except Refused as refused:
            if refused.code != "mail_gone":
                raise
            return Done(outcome=Outcome.GONE)

    def _open_state(self) -> None:
        self._post.open()
        self._seen.load()
        self._orders.load()
