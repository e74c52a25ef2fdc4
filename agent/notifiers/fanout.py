"""All the operator's channels as one notifier: in the background, each at its own pace, no failure ever reaching an order."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from pathlib import Path
from typing import Protocol

import structlog

from agent.domain.errors import AgentError, Refused, Transient
from agent.notifiers.address import is_ntfy
from agent.notifiers.apprise import AppriseChannel
from agent.notifiers.log import LogChannel
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


class FanOut:
    """The notifier of the daemon: hands every notice to every channel and returns at once.

    Each channel has a queue of `room` notices and a task of its own, made with the first notice. A full queue loses its oldest
    notice, because the newest says how things stand. `pauses_s` lie between tries; then the failure is logged, once a notice.
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
        for lane in self._lanes:
            lane.put(notice)

    async def aclose(self) -> None:
        await asyncio.gather(*(lane.aclose(self._drain_s) for lane in self._lanes))


class _Lane:
    """One channel with its queue and its task."""

    def __init__(self, channel: Channel, path_of: Callable[[str], Path], room: int, pauses_s: Sequence[float]) -> None:
        self._channel = channel
        self._path_of = path_of
        self._pauses_s = pauses_s
        self._refused_picture = ""
        self._queue: asyncio.Queue[Notice] = asyncio.Queue(room)
        self._task: asyncio.Task[None] | None = None

    def put(self, notice: Notice) -> None:
        if self._queue.full():
            self._tell("notify_failed", self._queue.get_nowait(), "too many notices wait for this channel")
            self._queue.task_done()
        self._queue.put_nowait(notice)
        if self._task is None or self._task.done():
            self._begin()

    def _begin(self) -> None:
        # A context of its own: what is bound for the log of the first order must not stand in every later notice.
        self._task = asyncio.create_task(self._work(), name=f"notify {self._channel.name}", context=Context())
        self._task.add_done_callback(self._tell_bug)

    async def _work(self) -> None:
        while True:
            notice = await self._queue.get()
            try:
                await self._send(notice)
            except AgentError as error:
                self._tell("notify_failed", notice, error.told())
            finally:
                self._queue.task_done()

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


def notifier_for(urls: Iterable[str], path_of: Callable[[str], Path]) -> FanOut:
    """The log and one channel for each address; `path_of` as for `FanOut`.

    ConfigError where an address is none, or needs apprise and it is not installed.
    """
    return FanOut([LogChannel(), *(channel_for(url) for url in urls)], path_of)


def channel_for(url: str) -> Channel:
    """The channel an address asks for: ours for ntfy, apprise's for everything else."""
    return NtfyChannel(url) if is_ntfy(url) else AppriseChannel(url)
