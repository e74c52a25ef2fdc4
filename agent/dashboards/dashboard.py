"""The dashboard: announces the devices, keeps what they show true, and takes commands where that is allowed.

Nothing polls: once a second the ledger's mark and the workflow's last looks are compared with those before, and where nothing is new
nothing is done. All that is kept on the broker is sent anew after each new connection and each birth of Home Assistant.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from agent.dashboards.commands import Commands
from agent.dashboards.discovery import Announced
from agent.dashboards.happenings import TRIGGERS
from agent.dashboards.inbox import Inbox
from agent.dashboards.news import News
from agent.dashboards.outbox import Outbox
from agent.dashboards.pictures import Pictures
from agent.dashboards.rounds import ACCOUNT_S, WARMTH_S, Accounts, Warmth
from agent.dashboards.screen import Screen
from agent.dashboards.shown import Shown
from agent.dashboards.sources import Counter, Sources
from agent.dashboards.states import encoded
from agent.dashboards.topics import OFFLINE, ONLINE
from agent.domain.errors import AgentError
from agent.wire.mqtt import Broker, MqttLink, Will

log = structlog.get_logger()

LOOK_S = 1.0
LONGEST_RETRY_S = 2.0
"""The broker is in the house: so soon after it is back the dashboard is as well."""
_GOODBYE_S = 1.0


@dataclass(frozen=True)
class Access:
    """Where the broker is, and what is told there. `picture_s` 0: no camera's picture."""

    broker: Broker
    announced: Announced
    mqtt5: bool = True
    picture_s: float = 60.0


class Dashboard:
    """Runs until cancelled; then the broker is told that the agent is gone."""

    def __init__(self, access: Access, sources: Sources) -> None:
        self._topics = topics = access.announced.topics
        self._link = MqttLink(
            access.broker,
            [*topics.heard, *(topics.commands if access.announced.commands else [])],
            self._heard,
            self._is_up,
            self._is_down,
            on_retained=self._found,
            will=Will(topics.availability, OFFLINE),
            mqtt5=access.mqtt5,
            longest_retry_s=LONGEST_RETRY_S,
        )
        outbox, shown = Outbox(self._link), Shown()
        self._warmth = Warmth(sources.printers, sources.last_seen)
        self._accounts = Accounts(sources.marketplaces, sources.switches, sources.local_now)
        self._pictures = Pictures(outbox, topics, sources.printers, access.picture_s)
        self._screen = Screen(sources, access.announced, outbox, shown, self._warmth, self._accounts, self._pictures)
        self._counter = Counter(sources)
        self._event_news = News(sources.ledger, sources.now, self._tell)
        commands = Commands(topics, sources.ledger, sources.marketplaces, sources.acts, sources.switches, shown)
        self._inbox = Inbox(commands, self._tell, self._command_done)
        self._up, self._look_now, self._ask_account_now = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._why_told = ""

    async def run(self) -> None:
        async with self._link:
            try:
                async with asyncio.TaskGroup() as together:
                    together.create_task(self._keep_shown())
                    together.create_task(self._inbox.run())
                    together.create_task(self._keep_account())
                    together.create_task(self._again_and_again(WARMTH_S, self._warmth.look))
                    together.create_task(self._again_and_again(LOOK_S, self._look_at_cameras))
            finally:
                await self._goodbye()

    async def _goodbye(self) -> None:
        """A daemon that leaves in good order fires no last will."""
        with contextlib.suppress(AgentError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._link.publish(self._topics.availability, OFFLINE, retain=True)

    # --- showing ----------------------------------------------------------------------------------------------------

    async def _keep_shown(self) -> None:
        """However much happens, a device's state is sent at most once in LOOK_S."""
        while True:
            self._look_now.clear()
            began = time.monotonic()
            try:
                self._event_news.begin()
                if self._link.up:
                    await self._screen.show(self._counter.look())
                    await self._event_news.tell(self._counter.mark)
                self._tell_why(None if self._link.up else self._link.why_down())
            except AgentError as error:
                self._tell_why(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look_now.wait()
            await asyncio.sleep(max(0.0, began + LOOK_S - time.monotonic()) if self._link.up else 0.0)

    def _tell_why(self, error: AgentError | None) -> None:
        """Why nothing is shown, once each time that changes."""
        why = error.told() if error is not None else ""
        if (error is not None and error.code == "connecting") or why == self._why_told:
            return
        if error is not None:
            log.warning("dashboard_away", why=why)
        else:
            log.info("dashboard_back")
        self._why_told = why

    async def _tell(self, told: Mapping[str, Any]) -> None:
        """An event, once: not retained, so that nobody takes it for one that happens now."""
        await self._link.publish(self._topics.event, encoded(told))
        if told["event_type"] in TRIGGERS:
            await self._link.publish(self._topics.trigger, str(told["event_type"]))

    async def _keep_account(self) -> None:
        """Now and then, and at once where somebody has just switched something."""
        while True:
            await self._up.wait()
            self._ask_account_now.clear()
            await self._accounts.look()
            self._look_now.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ACCOUNT_S):
                    await self._ask_account_now.wait()

    async def _look_at_cameras(self) -> None:
        await self._pictures.snapshots(self._counter.at_work())

    async def _again_and_again(self, every_s: float, look: Callable[[], Awaitable[None]]) -> None:
        """Only while somebody could see what comes of it."""
        while True:
            await self._up.wait()
            with contextlib.suppress(AgentError):  # of the link: it is told where the state is sent, and comes back by itself
                await look()
            await asyncio.sleep(every_s)  # what is looked at has no event

    # --- called by the link, on the event loop ----------------------------------------------------------------------

    def _is_up(self) -> None:
        """Also where Home Assistant was born: it has forgotten what it knew."""
        self._screen.begin_anew()
        self._up.set()
        self._look_now.set()

    def _is_down(self) -> None:
        self._up.clear()
        self._inbox.forget()
        self._look_now.set()

    def _heard(self, topic: str, payload: bytes) -> None:
        if topic == self._topics.home_assistant:
            if payload == ONLINE.encode():
                self._is_up()
        elif self._is_command(topic):
            self._inbox.put(topic, payload)

    def _found(self, topic: str, payload: bytes) -> None:
        """The broker had kept it. A command that was kept may be years old; a device that is not ours any more is forgotten."""
        if topic == self._topics.home_assistant:
            self._heard(topic, payload)
        elif not payload:
            return
        elif self._is_command(topic):
            self._inbox.complain(topic, "it was retained: it may be of any age")
            self._screen.forget(topic)
        else:
            self._screen.found(topic)
        self._look_now.set()

    def _is_command(self, topic: str) -> bool:
        return topic.startswith(self._topics.command("")) or (self._topics.printer_in(topic) is not None and topic.endswith("/cmd"))

    def _command_done(self) -> None:
        self._ask_account_now.set()
        self._look_now.set()
