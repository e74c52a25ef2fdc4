"""A marketplace that writes mails: each mail that can be read whole, from a sender that is proven, is an offer.

The mailbox is only ever read; no mail is marked, moved or answered, so a person and their own mail program see it as before. Answering
the marketplace is the person's: `accept` means that they did it there. What the hot folder does for a place without a server is done
here too (hot_folder/taken.py): photos, submission and delivery are written down in the order's folder, and a person does them there.

trust.py tells whom a mail is from, unpack.py takes it apart, templates.py and reading.py read it, files.py has its models, post.py keeps
what it became. No mail format of any marketplace is known to us: the templates that come along are examples.
"""

import asyncio
import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import structlog

from agent.domain.errors import AgentError, NeedsOperator, Refused, Unsound
from agent.domain.offer import Agreement, DeclineReason, Offer, OfferState, ProblemCode, RemoteOrder
from agent.marketplaces.hot_folder.taken import TakenOrders
from agent.marketplaces.mailbox.files import Links
from agent.marketplaces.mailbox.post import Post
from agent.marketplaces.mailbox.seen import Done, Outcome, Seen
from agent.marketplaces.mailbox.sorting import MOST_TRIES, LinkAway, Rules, Sorting
from agent.marketplaces.mailbox.templates import Template, load_templates
from agent.ports.notifier import Notifier
from agent.wire.imap import ImapServer, ImapSession
from agent.wire.imap_replies import Summary

log = structlog.get_logger()

IDLE_S = 540.0
"""IDLE is begun anew this often: servers, and routers between, end what is silent for half an hour or less (RFC 2177)."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_AGAIN = "If you answered the marketplace yourself: move the models into a hot folder, with an order file, to print it all the same."
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Mailbox:
    """Implements ports.marketplace.Marketplace over one IMAP folder. Every act is done at once and for good, so keys are not needed."""

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
        self._name = name
        self._server, self._mail_folder = server, mail_folder
        self._templates_dir, self._poll_s, self._look_back_days = templates_dir, poll_s, look_back_days
        self._templates: Sequence[Template] = []
        self._post = Post(state, answer_within_s)
        self._seen = Seen(state / "seen.json")
        self._orders = TakenOrders(self._post.taken, _AGAIN, told_later=True)
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

    @property
    def name(self) -> str:
        return self._name

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
        offer = await self._done(self._orders.offer, offer_id)
        return offer.model_copy(update={"state": OfferState.OPEN}) if offer.state is OfferState.EXPIRED else offer

    async def accept(self, offer_id: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        """A person says that they accepted it at the marketplace; they may say so after the time to answer there."""
        return await self._done(self._orders.accept, offer_id)

    async def decline(self, offer_id: str, reason: DeclineReason, text: str, key: str) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.decline, offer_id, reason, text)

    async def order_of(self, offer_id: str) -> RemoteOrder | None:
        return await self._done(self._orders.order_of, offer_id)

    async def order(self, order_id: str) -> RemoteOrder:
        return await self._done(self._orders.order, order_id)

    async def fetch(self, offer_id: str, order_id: str | None, file_id: str, into: Path, limit_bytes: int) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.copy, offer_id, file_id, into, limit_bytes)

    async def start(self, order_id: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return await self._done(self._orders.start, order_id)

    async def put_photo(self, order_id: str, photo_id: str, photo: Path, key: str) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.put_photo, order_id, photo_id, photo)

    async def submit(
        self,
        order_id: str,
        photo_ids: Sequence[str],
        agreements: Sequence[Agreement],
        customer_note: str,
        internal_note: str,
        key: str,  # noqa: ARG002 (the port's)
    ) -> RemoteOrder:
        return await self._done(self._orders.submit, order_id, photo_ids, agreements, customer_note, internal_note)

    async def label(self, order_id: str, into: Path) -> None:  # noqa: ARG002 (the port's)
        await self.order(order_id)
        hint = "Get the label where the marketplace has it, and hand in the photos there if it wants them."
        raise Refused(f"No label comes by mail from {self._name}.", hint=hint, code="no_label")

    async def delivered(self, order_id: str, dropped_off_at: datetime, place: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return await self._done(self._orders.delivered, order_id, dropped_off_at, place)

    async def report_problem(self, order_id: str, problem: ProblemCode, text: str, key: str) -> None:
        """Written into the order's folder; a person tells the marketplace."""
        await self._done(self._orders.report_problem, order_id, problem, text, key)

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
            with _translated(self._post.root):
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

    async def _done(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """In a thread, with the disk's errors as the domain's. A thread cannot be stopped: who is cancelled waits until it is done."""
        thread = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
        try:
            with _translated(self._post.root):
                return await asyncio.shield(thread)
        except asyncio.CancelledError:
            await asyncio.gather(thread, return_exceptions=True)
            raise


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """The one place where the disk's errors become the domain's."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        if error.errno in _FULL:
            hint = "Free some space; the agent goes on by itself."
            raise NeedsOperator(f"The disk with {where} is full ({error.strerror}).", hint=hint, code="disk_full") from error
        hint = f"Give the agent's user all rights in {folder}; the agent goes on by itself."
        raise NeedsOperator(f"{where} cannot be used: {error.strerror}.", hint=hint, code="folder_unusable") from error
