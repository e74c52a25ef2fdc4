"""All the operator's channels as one notifier: in the background, each at its own pace, no failure ever reaching an order."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from agent.domain.errors import AgentError, Refused, Transient
from agent.notifiers.address import is_ntfy
from agent.notifiers.apprise import AppriseChannel
from agent.notifiers.ntfy import NtfyChannel
from agent.notifiers.picture import Picture, read_picture
from agent.ports.notifier import Notice

_log = structlog.get_logger()


class Channel(Protocol):
    """One way to a person. `name` is for the log and holds no credential. Only one that `takes_pictures` is ever given one."""

    @property
    def name(self) -> str: ...

    @property
    def takes_pictures(self) -> bool: ...

    async def send(self, notice: Notice, picture: Picture | None = None) -> None:
        """Deliver one notice within the channel's own time limit. AgentError where it was not; Transient is tried again."""
        ...

    async def aclose(self) -> None: ...


Ended = Callable[[bool], None]
"""Told once of every message: whether it arrived. It raises nothing."""


def _nobody_asks(_arrived: bool) -> None: ...


class FanOut:
    """The addresses of one person, or of nobody in particular: hands every notice to every channel and returns at once.

    Each channel has a queue of `room` notices and a task of its own, made with the first notice. A full queue loses its oldest
    notice, because the newest says how things stand. `pauses_s` lie between tries; a channel that fails is logged once, until it works.
    `aclose` waits for what is still queued, for at most `drain_s`. `path_of` tells where the store has the picture of a notice.
    """

    def __init__(
        self,
        channels: Iterable[Channel],
        path_of: Callable[[str], Path],
        *,
        room: int = 100,
        drain_s: float = 5.0,
        pauses_s: Sequence[float] = (2.0, 15.0),
    ) -> None:
        self._lanes = [_Lane(channel, path_of, room, pauses_s) for channel in channels]
        self._drain_s = drain_s

    async def notify(self, notice: Notice) -> None:
        self.send(notice)

    def send(self, notice: Notice, ended: Ended = _nobody_asks) -> None:
        """`ended`: True when the first channel has taken it; False when none did. Not told of what is still under way when this closes."""
        result = _Result(len(self._lanes), ended)
        for lane in self._lanes:
            lane.put(notice, result.one)

    async def aclose(self) -> None:
        await asyncio.gather(*(lane.aclose(self._drain_s) for lane in self._lanes))


class _Result:
    """What became of one message on all channels of a person."""

    def __init__(self, channels: int, ended: Ended) -> None:
        self._waits, self._ended = channels, ended

    def one(self, arrived: bool) -> None:
        if self._waits <= 0:
            return  # one had it before
        self._waits = 0 if arrived else self._waits - 1
        if self._waits == 0:
            self._ended(arrived)


class _Message(NamedTuple):
    notice: Notice
    ended: Ended


class _Lane:
    """One channel with its queue and its task."""

    def __init__(self, channel: Channel, path_of: Callable[[str], Path], room: int, pauses_s: Sequence[float]) -> None:
        self._channel = channel
        self._path_of = path_of
        self._pauses_s = pauses_s
        self._refused_picture = ""
        self._fails = False
        self._queue: asyncio.Queue[_Message] = asyncio.Queue(room)
        self._task: asyncio.Task[None] | None = None

    def put(self, notice: Notice, ended: Ended) -> None:
        if self._queue.full():
            dropped = self._queue.get_nowait()
            self._queue.task_done()
            self._tell("notify_failed", dropped.notice, "too many notices wait for this channel")
            dropped.ended(False)
        self._queue.put_nowait(_Message(notice, ended))
        if self._task is None or self._task.done():
            self._begin()

    def _begin(self) -> None:
        # A context of its own: what is bound for the log of the first order must not stand in every later notice.
        self._task = asyncio.create_task(self._work(), name=f"notify {self._channel.name}", context=Context())
        self._task.add_done_callback(self._tell_bug)

    async def _work(self) -> None:
        while True:
            message = await self._queue.get()
            arrived = False
            try:
                arrived = await self._arrives(message.notice)
            finally:
                message.ended(arrived)
                self._queue.task_done()

    async def _arrives(self, notice: Notice) -> bool:
        try:
            await self._send(notice)
        except AgentError as error:
            if not self._fails:
                self._tell("notify_failed", notice, error.told())
            self._fails = True
            return False
        if self._fails:
            _log.info("notify_works_again", channel=self._channel.name)
        self._fails = False
        return True

    def _tell_bug(self, task: asyncio.Task[None]) -> None:
        """An error nobody expected ended the task. It is told here; another task takes the notices that wait."""
        if not task.cancelled() and (bug := task.exception()) is not None:
            _log.error("notify_bug", channel=self._channel.name, exc_info=bug)
            if not self._queue.empty():
                self._begin()

    async def _send(self, notice: Notice) -> None:
        """Send, again after each pause while the channel says Transient; the last try's error is raised."""
        picture = await self._picture(notice)
        for pause_s in self._pauses_s:
            try:
                return await self._try(notice, picture)
            except Transient as error:
                await asyncio.sleep(max(pause_s, min(error.retry_after_s or 0.0, 60.0)))
        return await self._try(notice, picture)

    async def _picture(self, notice: Notice) -> Picture | None:
        """Read now and not when it was queued: a hundred notices that wait are not to hold a hundred pictures."""
        if not notice.picture or not self._channel.takes_pictures:
            return None
        try:
            return await read_picture(self._path_of(notice.picture))
        except Refused as unfit:
            self._tell("notify_without_picture", notice, unfit.told())
            return None

    async def _try(self, notice: Notice, picture: Picture | None) -> None:
        """With its picture; where that does not go, at once without: better called without one than not called."""
        if picture is None:
            await self._channel.send(notice)
            return
        try:
            await self._channel.send(notice, picture)
            self._refused_picture = ""
        except AgentError as error:
            await self._channel.send(notice)
            self._tell_refused_picture(notice, error.told())

    def _tell_refused_picture(self, notice: Notice, why: str) -> None:
        """Once, until one is taken again: a server that takes none would say so of every notice."""
        if why != self._refused_picture:
            self._tell("notify_without_picture", notice, why)
        self._refused_picture = why

    def _tell(self, event: str, notice: Notice, why: str) -> None:
        _log.warning(event, channel=self._channel.name, about=notice.event, title=notice.title, order_id=notice.order_id, error=why)

    async def aclose(self, drain_s: float) -> None:
        if self._task is not None:
            await self._drain(drain_s)
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._channel.aclose()

    async def _drain(self, drain_s: float) -> None:
        drained = asyncio.create_task(self._queue.join())
        await asyncio.wait({drained}, timeout=drain_s)
        if not drained.done():
            _log.warning("notify_cut_short", channel=self._channel.name, lost=self._queue.qsize() + 1)  # one is under way
        drained.cancel()


def channel_for(url: str) -> Channel:
    """The channel an address asks for: ours for ntfy, apprise's for everything else."""
    return NtfyChannel(url) if is_ntfy(url) else AppriseChannel(url)
