"""Going offline by itself: where no promise could be kept the marketplaces are told, so that no offer comes that would be missed or broken.

The agent takes back only an offline that it set itself, known by the reason it sent; a person's own switch wins, both ways.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import structlog
from pydantic import ValidationError

from agent.domain.account import Presence, Status
from agent.domain.errors import AgentError, Transient
from agent.domain.order import State
from agent.domain.values import Value
from agent.ports.marketplace import Switchable
from agent.ports.notifier import Notice, Urgency
from agent.workflow.obstacles import Obstacle, Obstacles
from agent.workflow.shop import Shop

log = structlog.get_logger()

LOOK_S = 10.0
REFUSED_PAUSE_S = 600.0
"""Before a marketplace that said no, or wants another token, is asked again."""
LONGEST_REASON = 500


def set_by_agent(status: Status, agent_name: str) -> bool:
    """True for an offline that the agent of that name set by itself."""
    return status.state is Presence.OFFLINE and status.reason.startswith(mark(agent_name))


def mark(agent_name: str) -> str:
    """What the reasons that the agent sends begin with."""
    return f"intagly-agent {agent_name}: "


class Memory(Value):
    """What outlives the daemon, so that a person is not told twice."""

    told: list[str] = []
    """Codes of the obstacles that were told; none: all was well."""
    switched: list[str] = []
    """Marketplaces that were set offline for them: one that is online all the same was switched by a person."""


class Result(StrEnum):
    """What became of telling one marketplace."""

    SET = "set"
    SO_ALREADY = "so already"
    BY_HAND = "by hand"
    """A person switched it, and so it stays."""
    NOT_YET = "not yet"


class Online:
    """The watcher. Runs until cancelled; `memory` is a small file of its own, for the ledger may be what cannot be written."""

    def __init__(
        self,
        shop: Shop,
        obstacles: Obstacles,
        memory: Path,
        *,
        agent_name: str,
        back_after_s: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shop = shop
        self._obstacles = obstacles
        self._file = memory
        self._name = agent_name
        self._back_after_s = back_after_s
        self._monotonic = monotonic
        self._memory = Memory()
        self._down = True
        """Until all has been well for a while; so it begins, for an earlier daemon may have left an offline."""
        self._why = ""
        self._codes_before: set[str] = set()
        self._well_since: float | None = None
        self._pending: set[str] = set()
        self._not_before: dict[str, float] = {}

    def begin(self) -> None:
        """Where the daemon before left off."""
        self._memory = _read(self._file)
        if self._memory.told:
            self._pending = set(self._switchable()) - set(self._memory.switched)

    async def run(self) -> None:
        self.begin()
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)  # what is looked at has no event that could be awaited

    async def look(self) -> None:
        found = await self._obstacles.found(patient=not self._memory.told)
        self._why = "; ".join(obstacle.text for obstacle in found)
        new, back = self._confirmed(found), self._is_back(found)
        if new or back:
            self._down = bool(new)
            self._pending = set(self._switchable())
        results = await self._switch_pending()
        if new:
            await self._tell_down(new, results)
        if back:
            await self._tell_back(results)
        self._remember(new, back, results)

    # --- is it so? --------------------------------------------------------------------------------------------------

    def _confirmed(self, found: Sequence[Obstacle]) -> list[Obstacle]:
        """What stands in the way at the second look as well, and was not told before."""
        before, self._codes_before = self._codes_before, {obstacle.code for obstacle in found}
        return [obstacle for obstacle in found if obstacle.code in before and obstacle.code not in self._memory.told]

    def _is_back(self, found: Sequence[Obstacle]) -> bool:
        """All has been well for so long that it does not flap."""
        if found or not self._down:
            self._well_since = None
            return False
        now = self._monotonic()
        self._well_since = now if self._well_since is None else self._well_since
        return now - self._well_since >= self._back_after_s

    # --- the marketplaces -------------------------------------------------------------------------------------------

    def _switchable(self) -> dict[str, Switchable]:
        return {name: market for name, market in self._shop.marketplaces.items() if isinstance(market, Switchable)}

    async def _switch_pending(self) -> dict[str, Result]:
        """One that is away keeps none of the others waiting."""
        if self._down and not self._why:
            return {}  # perhaps it is over
        now = self._monotonic()
        due = [name for name in self._pending if self._not_before.get(name, now) <= now]
        done = await asyncio.gather(*(self._switch(name, self._switchable()[name]) for name in due))
        results = dict.fromkeys(sorted(self._pending), Result.NOT_YET) | dict(zip(due, done, strict=True))
        self._pending -= {name for name, result in results.items() if result is not Result.NOT_YET}
        return results

    async def _switch(self, name: str, market: Switchable) -> Result:
        try:
            status = await market.status()
            wanted = self._wanted(name, status)
            if wanted is not None:
                await market.set_status(wanted, secrets.token_hex(16))
        except AgentError as error:
            pause_s = error.retry_after_s or 0.0 if isinstance(error, Transient) else REFUSED_PAUSE_S
            self._not_before[name] = self._monotonic() + pause_s
            log.warning("status_not_set", marketplace=name, why=error.told())
            return Result.NOT_YET
        if wanted is not None:
            log.info("status_set", marketplace=name, state=wanted.state, reason=wanted.reason)
            return Result.SET
        is_so = set_by_agent(status, self._name) if self._down else status.state is Presence.ONLINE
        return Result.SO_ALREADY if is_so else Result.BY_HAND

    def _wanted(self, name: str, status: Status) -> Status | None:
        """What it is to be set to; None where it stays as it is."""
        own = set_by_agent(status, self._name)
        if not self._down:
            return Status(state=Presence.ONLINE) if own else None
        reason = (mark(self._name) + self._why)[:LONGEST_REASON]
        free = status.state is Presence.ONLINE and name not in self._memory.switched
        return Status(state=Presence.OFFLINE, reason=reason) if free or (own and status.reason != reason) else None

    # --- telling ----------------------------------------------------------------------------------------------------

    async def _tell_down(self, new: Sequence[Obstacle], results: Mapping[str, Result]) -> None:
        why = _sentence("; ".join(obstacle.text for obstacle in new))
        log.warning("went_offline", why=why, codes=[obstacle.code for obstacle in new], marketplaces=results)
        self._record("went_offline", why)
        if self._matters(results):
            text = f"{why} {self._told_of(results)}Orders in work go on; it comes back by itself."
            await self._shop.notifier.notify(Notice(event="went_offline", title="No new orders for now", text=text, urgency=Urgency.ALARM))

    async def _tell_back(self, results: Mapping[str, Result]) -> None:
        """Nothing where nothing had been told, as after most starts."""
        if not self._memory.told and Result.SET not in results.values():
            return
        log.info("back_online", marketplaces=results)
        self._record("back_online", "What stood in the way is gone.")
        if self._memory.switched or self._matters(results):
            text = f"What stood in the way is gone. {self._told_of(results)}"
            await self._shop.notifier.notify(Notice(event="back_online", title="New orders again", text=text.strip()))

    def _matters(self, results: Mapping[str, Result]) -> bool:
        """Nobody is called for marketplaces that a person switched off anyway."""
        return set(results) != set(self._shop.marketplaces) or any(result is not Result.BY_HAND for result in results.values())

    def _told_of(self, results: Mapping[str, Result]) -> str:
        """One sentence for each way in which marketplaces took it."""
        state = "offline" if self._down else "online"
        words = {
            Result.SET: f"set {state}",
            Result.SO_ALREADY: f"{state} already",
            Result.BY_HAND: "left as you switched it yourself",
            Result.NOT_YET: "not told yet, which is tried again",
        }
        unable = [name for name in self._shop.marketplaces if name not in self._switchable()]
        parts = [f"{name}: {words[result]}." for name, result in results.items()]
        parts += [f"{name}: cannot be told; its offers get their answers as ever." for name in unable if self._down]
        return "".join(f"{part} " for part in parts)

    def _record(self, event: str, why: str) -> None:
        """Into the history of the offers that wait for an answer. What cannot be written now is in the log."""
        ledger = self._shop.ledger
        try:
            for order in ledger.orders(open_only=True):
                if order.state is State.OFFERED:
                    ledger.record(order.id, event, {"why": why})
        except AgentError as error:
            log.error("not_recorded", event_not_recorded=event, why=error.told())

    def _remember(self, new: Iterable[Obstacle], back: bool, results: Mapping[str, Result]) -> None:
        told = set() if back else {*self._memory.told, *(obstacle.code for obstacle in new)}
        ours = {name for name, result in results.items() if result in (Result.SET, Result.SO_ALREADY)}
        switched = {*self._memory.switched, *ours} if told else set()
        memory = Memory(told=sorted(told), switched=sorted(switched))
        if memory == self._memory:
            return
        self._memory = memory
        try:
            self._file.write_text(memory.model_dump_json())
        except OSError as error:
            log.warning("not_remembered", file=str(self._file), why=error.strerror)  # told again after a restart, at the worst


def _read(file: Path) -> Memory:
    """Nothing is remembered where there is none, or where it was cut in the middle."""
    try:
        return Memory.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return Memory()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
