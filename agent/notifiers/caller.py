"""The notifier of the daemon: keeps every notice, calls people by the plan, and remembers what came of it."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Self, TypeVar

import structlog

from agent.domain.errors import AgentError
from agent.notifiers.calling import Callee, Due, plan_calls
from agent.notifiers.fanout import FanOut
from agent.notifiers.messages import PAUSED, Writer, asked
from agent.ports.calls import Calls, KeptButton, KeptNotice, Outcome
from agent.ports.ledger import Ledger
from agent.ports.notifier import Notice, Urgency

_T = TypeVar("_T")
_log = structlog.get_logger()

SNOOZE = timedelta(minutes=30)
_KEPT = timedelta(days=90)
_LEDGER_PAUSE_S = 30.0
_LOOK_S = 60.0
"""At least so often: the machine's clock may be set, and a question may be asked of which nobody sent a notice."""
_TOLD_WITHIN = timedelta(seconds=30)
"""A question of which no notice came for so long gets one here: whoever asked died before they could tell."""
_REMINDERS = frozenset({"ship_by_near"})
"""Told of a question of which somebody was told before."""
_ENDED_BY = {
    "printer_back": ("printer_lost", "printer_needs_attention"),
    "print_goes_on": (PAUSED,),
    "back_online": ("went_offline",),
    "promise_kept_again": ("promise_will_break",),
}
"""Notices after which others need nobody any more, where they are of the same order and printer."""


@dataclass(frozen=True)
class Line:
    """A person with their addresses. `buttons`: whether any that act are sent to them."""

    callee: Callee
    fanout: FanOut
    buttons: bool = False


class Caller:
    """Implements ports.notifier.Notifier and ports.calls.Buttons. `log` gets every notice at once. Its task runs from entering to `aclose`.

    A ledger that cannot be written keeps nobody from being called: such a notice goes to everybody at once, and may come twice.
    """

    def __init__(
        self, lines: Sequence[Line], log: FanOut, calls: Calls, ledger: Ledger, *, url: str = "", now: Callable[[], datetime]
    ) -> None:
        self._lines: Mapping[str, Line] = {line.callee.name: line for line in lines}
        self._log, self._calls, self._ledger, self._now = log, calls, ledger, now
        self._writer = Writer(ledger, calls, url)
        self._run = secrets.token_hex(8)
        self._count = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if not self._writer.url and any(line.buttons for line in self._lines.values()):
            _log.info("notifications_without_buttons", hint="They need [web] url: the address at which a phone opens the page.")
        self._begin()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """What is under way has a moment to arrive; what waits is in the ledger."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await asyncio.gather(self._log.aclose(), *(line.fanout.aclose() for line in self._lines.values()))

    async def notify(self, notice: Notice) -> None:
        self._log.send(notice)
        try:
            self._calls.add_notice(self._key(notice), self._run, notice)
        except AgentError as error:
            _log.error("notice_not_kept", about=notice.event, why=error.told())
            for line in self._lines.values():
                line.fanout.send(notice)
            return
        self._wake.set()

    # --- buttons -----------------------------------------------------------------------------------------------
    def button(self, secret_sha256: str) -> KeptButton | None:
        """None also where its person is not called any more."""
        button = self._calls.button(secret_sha256)
        return button if button is not None and button.person in self._lines else None

    def press(self, secret_sha256: str) -> bool:
        return self._calls.press(secret_sha256)

    def snooze(self, button: KeptButton) -> datetime:
        until = self._now() + SNOOZE
        self._calls.snooze(button.notice_id, button.person, until)
        self._wake.set()
        return until

    def refused(self, button: KeptButton, why: str) -> None:
        if line := self._lines.get(button.person):
            line.fanout.send(self._writer.refusal(why))

    # --- the task ----------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        # A context of its own: what is bound for the log of an order must not stand in what is told of every later notice.
        self._task = asyncio.create_task(self._work(), name="calls", context=Context())
        self._task.add_done_callback(self._tell_bug)

    def _tell_bug(self, task: asyncio.Task[None]) -> None:
        """An error nobody expected ended the task. It is told here, and the task begins again a little later."""
        if not task.cancelled() and (bug := task.exception()) is not None:
            _log.error("calls_bug", exc_info=bug)
            asyncio.get_running_loop().call_later(_LEDGER_PAUSE_S, self._begin_again)

    def _begin_again(self) -> None:
        if self._task is not None:
            self._begin()

    async def _work(self) -> None:
        await self._patiently(self._take_up)
        while True:
            self._wake.clear()
            look_at = await self._patiently(self.look)
            seconds = _LOOK_S if look_at is None else min(_LOOK_S, max(0.0, (look_at - self._now()).total_seconds()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _patiently(self, step: Callable[[], _T]) -> _T:
        """Until the ledger lets it be done; told once."""
        told = False
        while True:
            try:
                return step()
            except AgentError as error:
                if not told:
                    _log.error("calls_wait_for_the_ledger", why=error.told())
                told = True
            await asyncio.sleep(_LEDGER_PAUSE_S)

    def _take_up(self) -> None:
        """Calls that were under way when an earlier daemon ended."""
        for kept in self._calls.open_notices():
            unknown = [person for person, call in kept.calls.items() if call.outcome is Outcome.SENDING]
            for person in unknown:
                # Twice is better than never where something has to be done; what only informs is not repeated.
                lost = kept.notice.urgency is Urgency.INFO
                self._calls.end_call([kept.id], person, Outcome.LOST if lost else Outcome.FAILED)
        self._calls.forget_calls(self._now() - _KEPT)

    def _adopt(self) -> None:
        """Questions of which nobody was told."""
        for question in self._calls.untold_questions(self._now() - _TOLD_WITHIN):
            told = asked(question)
            if self._calls.add_notice(f"question {question.id}", self._run, told):
                self._log.send(told)

    def look(self) -> datetime | None:
        """Call whoever is to be called now; when to look next."""
        self._adopt()
        notices = {kept.id: kept for kept in self._calls.open_notices()}
        if not notices:
            return None
        now, people = self._now(), [line.callee for line in self._lines.values()]
        plan = plan_calls(notices.values(), self._settled(notices.values()), people, now)
        if plan.over:
            self._calls.close_notices(plan.over)
        for due in plan.due:
            self._call(due, [notices[number] for number in due.notices], now)
        return plan.look_at

    def _call(self, due: Due, about: Sequence[KeptNotice], now: datetime) -> None:
        line = self._lines[due.person]
        self._calls.begin_call(due.notices, due.person)
        message = self._writer.alone(about[0], due.person, now, acts=line.buttons) if len(about) == 1 else self._writer.together(about)
        line.fanout.send(message, partial(self._ended, due))

    def _ended(self, due: Due, arrived: bool) -> None:
        try:
            self._calls.end_call(due.notices, due.person, Outcome.ARRIVED if arrived else Outcome.FAILED)
        except AgentError as error:
            _log.error("call_not_kept", why=error.told())  # a restart calls again, at the worst
        self._wake.set()

    # --- what needs nobody any more ----------------------------------------------------------------------------
    def _settled(self, notices: Iterable[KeptNotice]) -> set[int]:
        newest_first = sorted(notices, key=lambda kept: kept.id, reverse=True)
        ended: set[tuple[str, str, str]] = set()
        settled = set()
        for kept in newest_first:
            notice = kept.notice
            if (notice.event, notice.order_id, notice.printer) in ended or self._needs_nobody(notice):
                settled.add(kept.id)
            ended |= {(event, notice.order_id, notice.printer) for event in _ENDED_BY.get(notice.event, ())}
        return settled

    def _needs_nobody(self, notice: Notice) -> bool:
        """Its question is answered, or its order has ended. What only informs is told all the same."""
        if notice.step is not None:
            return self._writer.question(notice) is None
        if notice.event == PAUSED:
            return all((job.printer, job.order_id) != (notice.printer, notice.order_id) for job in self._ledger.active_jobs())
        return False

    def _key(self, notice: Notice) -> str:
        """The same event has the same: a question is told once, however often it is come across."""
        if notice.step is not None:
            question = self._ledger.question(notice.order_id, notice.step, notice.printer)
            if question is not None:
                return f"question {question.id}" + (f" {notice.event}" if notice.event in _REMINDERS else "")
        self._count += 1
        return f"{self._run} {self._count}"
