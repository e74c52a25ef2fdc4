"""The loop: asks every due order's handler to move it on, and writes down what came of it.

One row an order, at most one handler at work on it, none while it waits. The only broad `except` of the product is here:
a bug puts its own order on hold with the traceback in its history, and every other order goes on.
"""

import asyncio
import contextlib
import time
import traceback
from dataclasses import dataclass
from datetime import datetime

import structlog

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient, Unsound
from agent.domain.order import ENDED, Order, State
from agent.domain.question import Step
from agent.ports.ledger import Ledger, OrderMove, Stale
from agent.ports.notifier import Notice, Urgency
from agent.workflow.making import pictured, undrawn
from agent.workflow.order_path import HANDLERS
from agent.workflow.shop import Shop
from agent.workflow.steps import CANCEL, RETRY, Go, Hold, Wait

log = structlog.get_logger()

TICK_S = 1.0
"""How long an answer given by another process (the commands) may lie before it is seen."""
AT_ONCE = 128
"""Most of them wait: an offer for a slicer's turn, an order for a printer's answer. None of them may keep an offer from being looked at."""
AT_A_TIME = 8
"""So many are begun before anything else has its turn: a printer that comes free wakes hundreds; no offer stands behind them."""
TELL_AFTER_TRIES = 4
ASK_AFTER_TRIES = 8
"""Of what makes no sense; with Pace's pauses after about four minutes."""
LEDGER_PAUSE_S = 5.0


@dataclass(frozen=True)
class _Quiet:
    """Nothing was due as the ledger stood, and nothing will be before `until`; None: nothing sleeps."""

    changes: object
    until: datetime | None

    def holds(self, changes: object, now: datetime) -> bool:
        return changes == self.changes and (self.until is None or now < self.until)

    def pause_s(self, now: datetime) -> float:
        return TICK_S if self.until is None else min(TICK_S, (self.until - now).total_seconds())


class Reconciler:
    """Runs until cancelled; `drain` lets handlers that are at work finish."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._not_before: dict[str, datetime] = {}
        self._resting = False
        self._quiet: _Quiet | None = None

    def wake(self) -> None:
        """Something is due: look now."""
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            pause_s = self._begin_due()
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()

    async def drain(self, timeout_s: float) -> None:
        """Wait for the handlers at work; those that take longer are cancelled and looked at again after the next start."""
        tasks = list(self._at_work.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def rest(self, timeout_s: float) -> None:
        """As `drain`, and begin nothing more until `go_on`."""
        self._resting = True
        await self.drain(timeout_s)

    def go_on(self, shop: Shop) -> None:
        """In this shop from now on."""
        self._shop, self._resting, self._quiet = shop, False, None
        self._woken.set()

    def _begin_due(self) -> float:
        """Start handlers for due orders that have none; returns how long there is nothing more to do."""
        if self._resting:
            return TICK_S
        began = time.perf_counter()
        try:
            return self._look(self._shop.now(), self._shop.ledger)
        except (Transient, NeedsOperator) as error:
            log.error("ledger_unavailable", why=error.told())
            return TICK_S
        finally:
            self._shop.measures.passes.took(time.perf_counter() - began)

    def _look(self, now: datetime, ledger: Ledger) -> float:
        changes = ledger.changes()
        if self._quiet is not None and self._quiet.holds(changes, now):
            return self._quiet.pause_s(now)
        due = ledger.due(now, AT_ONCE + len(self._at_work))
        begun = [one for one in due if self._may_begin(one, now)][: min(AT_A_TIME, AT_ONCE - len(self._at_work))]
        for order_id in begun:
            self._begin(order_id)
        if len(begun) == AT_A_TIME:
            return 0.0
        quiet = _Quiet(changes, ledger.next_due_after(now))
        self._quiet = None if due else quiet
        return quiet.pause_s(now)

    def _may_begin(self, order_id: str, now: datetime) -> bool:
        if self._not_before.get(order_id, now) > now:
            return False
        self._not_before.pop(order_id, None)
        return order_id not in self._at_work

    def _begin(self, order_id: str) -> None:
        task = asyncio.create_task(self.reconcile(order_id), name=f"order {order_id}")
        self._at_work[order_id] = task
        task.add_done_callback(lambda _done: self._ended(order_id))

    def _ended(self, order_id: str) -> None:
        self._at_work.pop(order_id, None)
        self._woken.set()

    async def reconcile(self, order_id: str) -> None:
        """One order as far as it goes now."""
        with structlog.contextvars.bound_contextvars(order=order_id):
            order = self._shop.ledger.order(order_id)
            try:
                while order.state not in ENDED:
                    outcome = await HANDLERS[order.state](order, self._shop)
                    if isinstance(outcome, Wait) and (file_id := undrawn(order.dossier)) is not None:
                        outcome = await self._drawn(order, file_id)
                    if isinstance(outcome, Wait):
                        due = None if outcome.seconds is None else self._shop.after(outcome.seconds)
                        self._shop.ledger.wait(order, due)
                        return
                    order = await self._apply(order, outcome)
            except Stale:
                return  # somebody else moved it; it is due and is read again
            except AgentError as error:
                await self._after_error(order, error)
            except Exception:  # noqa: BLE001 (the one broad except, see the module's docstring)
                await self._after_bug(order)

    async def _drawn(self, order: Order, file_id: str) -> Go:
        """Pictures are for whoever an order waits for, and nothing waits for them: a printer has its G-code first. One model at a time,
        so that an answer is seen in between."""
        dossier = await pictured(order.dossier, file_id, self._shop)
        pictures = dossier.meshes[file_id].pictures
        return Go(order.state, "model_drawn", {"file": file_id, "pictures": pictures}, dossier, resume=order.resume_state)

    async def _apply(self, order: Order, outcome: Go | Hold) -> Order:
        if isinstance(outcome, Hold):
            return await self._hold(order, outcome)
        moved = self._shop.ledger.move(
            order,
            OrderMove(
                to=outcome.to,
                event=outcome.event,
                data=outcome.data,
                dossier=outcome.dossier,
                resume_state=outcome.resume,
                settles_question=outcome.settles.id if outcome.settles else None,
                settles_intent=outcome.closes.id if outcome.closes else None,
                takes=outcome.takes,
                books=outcome.books,
            ),
        )
        if outcome.takes is not None:
            self._shop.counts.forget()
        log.info(outcome.event, state=moved.state, **_briefly(outcome.data))
        return moved

    async def _hold(self, order: Order, hold: Hold) -> Order:
        """The move first: a question for an order that somebody else moved meanwhile would hang in the air. A question that is missing
        is asked by the hold's own handler."""
        stale = self._shop.ledger.question(order.id, Step.HOLD)
        held = self._shop.ledger.move(order, hold.move(order))
        if stale is not None:
            self._shop.ledger.settle_question(stale)
        self._shop.ledger.ask(held, hold.question())
        log.warning("on_hold", reason=hold.reason, text=hold.text)
        await self._shop.notifier.notify(hold.notice(order.id))
        return held

    async def _after_error(self, order: Order, error: AgentError) -> None:
        """`order` as its handler saw it: where somebody else moved it meanwhile, the error says nothing of it any more."""
        self._shop.measures.errors[_kind_of(error)] += 1
        try:
            if self._is_for_a_person(order, error):
                await self._hold(order, Hold(error.code or "refused", error.told(), {**RETRY, **CANCEL}))
            else:
                await self._try_again(order, error)
        except Stale:
            return
        except AgentError as worse:
            self._not_recorded(order.id, worse)

    @staticmethod
    def _is_for_a_person(order: Order, error: AgentError) -> bool:
        """What makes no sense is not waited for as long as what is out of reach."""
        if isinstance(error, Unsound):
            return order.tries >= ASK_AFTER_TRIES
        return isinstance(error, Refused) or (isinstance(error, NeedsOperator) and error.code != "disk_full")

    async def _try_again(self, order: Order, error: AgentError) -> None:
        pace, tries = self._shop.pace, order.tries + 1
        asked_s = error.retry_after_s if isinstance(error, Transient) else None
        pause_s = min(pace.longest_retry_s, max(asked_s or 0.0, pace.first_retry_s * 2 ** min(tries - 1, 12)))
        if order.state is State.OFFERED:
            pause_s = min(pause_s, max(1.0, (order.accept_by - self._shop.now()).total_seconds() / 4))
        log.warning("will_try_again", tries=tries, in_s=round(pause_s, 1), why=error.told())
        if tries in (1, TELL_AFTER_TRIES):
            self._shop.ledger.record(order.id, "will_try_again", {"tries": tries, "why": error.told(), "state": order.state})
        if tries == TELL_AFTER_TRIES:
            notice = Notice(
                event="still_failing", title=f"Order {order.id} cannot go on", text=error.told(), urgency=Urgency.ALARM, order_id=order.id
            )
            await self._shop.notifier.notify(notice)
        self._shop.ledger.wait(order, self._shop.after(pause_s), tries)

    async def _after_bug(self, order: Order) -> None:
        trace = traceback.format_exc()
        log.error("bug", traceback=trace)
        self._shop.measures.errors["bug"] += 1
        try:
            self._shop.ledger.record(order.id, "bug", {"traceback": trace[-4000:]})
            last = trace.strip().splitlines()[-1]
            text = f"A fault of the agent stopped this order: {last}. Its history has the details; every other order goes on."
            await self._hold(order, Hold("bug", text, {**RETRY, **CANCEL}))
        except Stale:
            return
        except AgentError as worse:
            self._not_recorded(order.id, worse)

    def _not_recorded(self, order_id: str, why: AgentError) -> None:
        """A full disk cannot take its own record: the last truth stands, and the order is looked at again a little later."""
        log.error("not_recorded", why=why.told())
        self._not_before[order_id] = self._shop.after(LEDGER_PAUSE_S)


def _kind_of(error: AgentError) -> str:
    """What the error asks for; its adapter's own name for it says too much."""
    kinds: dict[type[AgentError], str] = {Unsound: "unsound", Transient: "transient", NeedsOperator: "needs_operator", Refused: "refused"}
    return next((name for kind, name in kinds.items() if isinstance(error, kind)), "other")


def _briefly(data: dict[str, object]) -> dict[str, object]:
    """For the log; the ledger has it all."""
    return {key: value for key, value in data.items() if isinstance(value, str | int | float | bool) and len(str(value)) <= 200}
