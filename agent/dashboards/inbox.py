"""What arrives over MQTT: commands are done one after another, leftovers and floods are thrown away and told sparingly."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from agent.dashboards.commands import LONGEST_MESSAGE_BYTES, Commands
from agent.dashboards.happenings import refusal
from agent.domain.errors import AgentError

log = structlog.get_logger()

MOST_WAITING = 16
MOST_COMMANDS, MOST_TOLD, WITHIN_S = 30, 10, 60.0


class Budget:
    """So many in the last `within_s`."""

    def __init__(self, most: int, within_s: float = WITHIN_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most, self._within_s, self._monotonic = most, within_s, monotonic
        self._spent: deque[float] = deque()

    def allows(self) -> bool:
        """Whether there may be one more now; it counts where there may."""
        now = self._monotonic()
        while self._spent and now - self._spent[0] >= self._within_s:
            self._spent.popleft()
        if len(self._spent) >= self._most:
            return False
        self._spent.append(now)
        return True


class Inbox:
    """The commands of one connection after another. What came over an earlier connection is not done over the next."""

    def __init__(self, commands: Commands, tell: Callable[[Mapping[str, Any]], Awaitable[None]], done: Callable[[], None]) -> None:
        self._commands, self._tell, self._done = commands, tell, done
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=MOST_WAITING)
        self._came = asyncio.Event()
        self._commands_left, self._lines_left = Budget(MOST_COMMANDS), Budget(MOST_TOLD)

    def put(self, topic: str, payload: bytes) -> None:
        """A command that came just now. An empty one is only the end of something retained."""
        if not payload:
            return
        if len(payload) > LONGEST_MESSAGE_BYTES:
            self.complain(topic, f"it has {len(payload)} bytes")
        elif len(self._waiting) == MOST_WAITING or not self._commands_left.allows():
            self.complain(topic, "there are too many at once")
        else:
            self._waiting.append((topic, payload))
            self._came.set()

    def forget(self) -> None:
        """The connection they came over is gone: whoever gave them may think that they were lost."""
        self._waiting.clear()

    def complain(self, topic: str, why: str) -> None:
        if self._lines_left.allows():
            log.warning("command_ignored", topic=topic[:200], why=why)

    async def run(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                await self._obey(*self._waiting.popleft())

    async def _obey(self, topic: str, payload: bytes) -> None:
        command = payload[:100].decode("utf-8", "replace")
        try:
            await self._commands.obey(topic, payload)
        except AgentError as error:
            if self._lines_left.allows():
                log.warning("command_refused", topic=topic[:200], command=command, why=error.told())
                await self._tell(refusal(command, error.told()))
            return
        log.info("command_done", topic=topic, command=command)
        self._done()
