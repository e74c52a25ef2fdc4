"""One MQTT connection to the printer, kept alive sparingly: reports in, commands out, each with its echo.

P1 and A1 have few places for clients, and answer a pushall with much: there is one connection, a pushall when it comes up and rarely
else, and `get_version` as the question whether anybody is there. A connection on which the printer says nothing swallows commands too
(read in public sources): it is made anew. We never subscribe to the request topic, at which some printers hang up.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Self

import structlog

from agent.domain.errors import AgentError, NeedsOperator, Transient, Unsound
from agent.domain.values import one_line
from agent.printers.bambu import commands
from agent.printers.bambu.access import USER, BambuAccess
from agent.printers.bambu.commands import Command
from agent.printers.bambu.report import KNOWN, Message, Report, parsed
from agent.printers.bambu.trust import context_for
from agent.wire.mqtt import Broker, MqttLink

log = structlog.get_logger()

PROBE_S = 30.0
"""After this much silence it is asked whether it is there."""
SILENT_S = 60.0
"""After this much it is not."""
PUSHALL_S = 300.0
"""Between two pushalls on one connection, and how old a report may be before another is worth it."""
ECHO_S = 10.0
ASK_AGAIN_S = 3.0
"""A pushall that nothing came of is asked for again, after this and then twice as long each time: the broker may be up before the rest."""
FIRST_REPORT_S = 10.0
"""From entering, or from a new connection, to the full report; only that long a look waits for it."""
_LINK_LOOK_S, _LOOK_S = 0.2, 1.0
"""The link tells nobody that it did not come up, and silence is no event: both are looked at."""


class Conversation:
    """Enter it to connect. All of it runs on the event loop; `on_report` and `on_lost` are called there."""

    def __init__(self, access: BambuAccess, on_report: Callable[[Report], None], on_lost: Callable[[], None]) -> None:
        self._access, self._on_report, self._on_lost = access, on_report, on_lost
        self.report = Report()
        self.connection = 0
        """Counts connections: what was seen on one has no gap."""
        self._heard_at = self._reported_at = self._asked_all_at = self._probed_at = time.monotonic()
        self._echoes: dict[str, asyncio.Future[Message]] = {}
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asks = 0
        """Pushalls on this connection."""
        self._nonsense = self._complained = False

    async def __aenter__(self) -> Self:
        access = self._access
        broker = Broker(access.host, access.mqtt_port, USER, access.access_code, context_for(access.ca_file, access.serial))
        self._link = MqttLink(broker, [f"device/{access.serial}/report"], self._message, self._is_up, self._is_down)
        await self._link.__aenter__()
        self._began_at = time.monotonic()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [self._keeper, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._link.__aexit__(*exc)

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def here(self) -> bool:
        """Connected, told how it stands, and not fallen silent since."""
        return self._link.up and self.report.complete and time.monotonic() - self._heard_at < SILENT_S

    def why_away(self) -> AgentError:
        """In words for the operator of this printer."""
        host, serial = self._access.host, self._access.serial
        if self._link.up and self._nonsense:
            hint = "Was its firmware changed? Switch it off and on."
            return Unsound(f"What the printer at {host} says cannot be read.", hint=hint, code="nonsense")
        if self._link.up:
            return Unsound(
                f"{host} takes the connection and says nothing as printer {serial}.",
                hint="Is that its serial number, in capitals as the printer shows it? Is another program using all its connections?",
                code="silent",
            )
        why = self._link.why_down()
        if why.code == "wrong_password":
            hint = "Read it anew in the printer's network settings: it changes whenever LAN or Developer Mode is switched."
            return NeedsOperator(f"The printer at {host} refuses the access code.", hint=hint, code="wrong_password")
        return why

    async def settled(self, limit_s: float = FIRST_REPORT_S) -> None:
        """Returns once it is here. Raises `why_away()` once that is known, or when the time is up."""
        until = time.monotonic() + limit_s
        while not self.here:
            left_s = min(until, self._began_at + FIRST_REPORT_S) - time.monotonic()
            known = not self._link.up and self._link.why_down().code != "connecting"
            if known or left_s <= 0:
                raise self.why_away()
            await self.news(min(left_s, _LINK_LOOK_S))

    async def news(self, limit_s: float) -> bool:
        """Something was heard, or the connection was lost. False: not in that time."""
        if limit_s <= 0:
            return False
        news = self._news
        try:
            async with asyncio.timeout(limit_s):
                await news.wait()
        except TimeoutError:
            return False
        return True

    # --- speaking ---------------------------------------------------------------------------------------------------

    def listen_for(self, command: Command) -> asyncio.Future[Message]:
        """Its echo. Taken before it is sent; to be left with `forget`."""
        echo: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._echoes[command.sequence_id] = echo
        return echo

    def forget(self, command: Command) -> None:
        self._echoes.pop(command.sequence_id, None)

    async def send(self, command: Command, qos: int) -> None:
        try:
            await self._link.publish(f"device/{self._access.serial}/request", command.payload, qos)
        except NeedsOperator:
            raise self.why_away() from None

    async def ask(self, command: Command, qos: int) -> Message:
        """Its echo. Transient: none came, and it is not known whether it arrived."""
        echo = self.listen_for(command)
        try:
            await self.send(command, qos)
            async with asyncio.timeout(ECHO_S):
                return await echo
        except TimeoutError:
            raise Transient("The printer did not answer.", hint="Is the network any good there?", code="no_answer") from None
        finally:
            self.forget(command)

    async def until(self, holds: Callable[[Report], bool], within_s: float) -> bool:
        """False: it did not come to hold in that time."""
        end = time.monotonic() + within_s
        while not holds(self.report):
            if not await self.news(end - time.monotonic()):
                return False
        return True

    # --- called by the link -----------------------------------------------------------------------------------------

    def _is_up(self) -> None:
        self.connection += 1
        self.report = Report()
        self._heard_at = self._began_at = time.monotonic()
        self._asks = 0
        self._nonsense = False
        self._ask_all()

    def _is_down(self) -> None:
        self.report = Report()
        for echo in self._echoes.values():
            if not echo.done():
                echo.set_exception(Transient("The connection was lost before the printer answered.", hint="Is it still on?", code="lost"))
                echo.exception()  # nobody may be waiting for it
        self._on_lost()
        self._tell()

    def _message(self, _topic: str, payload: bytes) -> None:
        """What cannot be read is no sign of life: a printer that says nothing else is as good as silent."""
        message = parsed(payload)
        self._nonsense = message is None
        if message is None:
            self._complain()
            return
        self._heard_at = time.monotonic()
        for body in message.values():
            if isinstance(body, dict):
                self._body(body)
        self._tell()

    def _body(self, body: Message) -> None:
        if body.get("command") == "push_status":
            self._reported_at = time.monotonic()
            self.report.hear(body)
            self._on_report(self.report)
        elif (echo := self._echoes.get(str(body.get("sequence_id"))[:20])) is not None and not echo.done():
            echo.set_result(body)

    def _complain(self) -> None:
        if not self._complained:
            self._complained = True
            log.warning("printer_says_nonsense", host=self._access.host)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # --- keeping it alive -------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await self.news(_LOOK_S)
            if self._link.up:
                self._look_after(time.monotonic())

    def _look_after(self, now: float) -> None:
        silent_s = now - self._heard_at
        if silent_s >= SILENT_S:
            log.info("printer_silent", host=self._access.host)
            self._heard_at = now
            self._link.renew()
        elif silent_s >= PROBE_S and now - self._probed_at >= PROBE_S:
            self._probed_at = now
            self._soon(commands.get_version())
        elif now - max(self._reported_at, self._asked_all_at) >= PUSHALL_S or self._unanswered(now):
            self._ask_all()

    def _unanswered(self, now: float) -> bool:
        """A state that nobody knows may have been a slip of the tongue: it, too, is asked for again."""
        known = self.report.complete and self.report.state in KNOWN
        return not known and now - self._asked_all_at >= ASK_AGAIN_S * 2 ** min(self._asks - 1, 10)

    def _ask_all(self) -> None:
        self._asked_all_at = time.monotonic()
        self._asks += 1
        self._soon(commands.pushall())

    def _soon(self, command: Command) -> None:
        task = asyncio.create_task(self._said(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _said(self, command: Command) -> None:
        try:
            await self.send(command, qos=0)
        except AgentError as error:
            log.info("printer_not_asked", host=self._access.host, why=one_line(str(error)))


def words(value: Any, longest: int = 200) -> str:
    """A printer's own words, fit to be shown."""
    return one_line(str(value)[:longest])
