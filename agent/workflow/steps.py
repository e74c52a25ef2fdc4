"""What a handler answers: where its order goes, or what it waits for."""

from dataclasses import dataclass, field
from typing import Any

from agent.domain.booking import Booking
from agent.domain.intent import Intent
from agent.domain.order import Dossier, Order, State
from agent.domain.question import NewQuestion, Question, Step
from agent.domain.stock import Taking
from agent.ports.ledger import OrderMove
from agent.ports.notifier import Notice, Urgency


@dataclass(frozen=True)
class Go:
    """The order moves on. `settles` is the question whose answer brought it here."""

    to: State
    event: str
    data: dict[str, Any] = field(default_factory=dict)
    dossier: Dossier | None = None
    settles: Question | None = None
    resume: State | None = None
    closes: Intent | None = None
    """The intent whose outcome this is, written in the same transaction."""
    takes: Taking | None = None
    """What was taken from the stock for it, counted in the same transaction."""
    books: Booking | None = None
    """What the order brought or lost, likewise."""


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `seconds` have gone by; None: until an answer, or something that comes free, wakes it."""

    seconds: float | None


@dataclass(frozen=True)
class Hold:
    """A person must decide. The order stands still until they did; `data` is for whoever reads the answer."""

    reason: str
    text: str
    choices: dict[str, str]
    data: dict[str, Any] = field(default_factory=dict)
    dossier: Dossier | None = None
    picture: str = ""
    """sha256 in the store of what there is to look at; it goes with the notice."""

    def move(self, order: Order) -> OrderMove:
        """Onto hold, with all that is asked in the event, so that the question can be asked again after a crash.

        Held again while on hold, the order still goes back to where it first stood.
        """
        data = {"reason": self.reason, "text": self.text, "choices": self.choices, "more": self.data, "picture": self.picture}
        resume = order.resume_state if order.state is State.ON_HOLD else order.state
        return OrderMove(to=State.ON_HOLD, event="on_hold", data=data, dossier=self.dossier, resume_state=resume)

    def question(self) -> NewQuestion:
        return NewQuestion(step=Step.HOLD, text=self.text, choices=self.choices, data={"reason": self.reason, **self.data})

    def notice(self, order_id: str) -> Notice:
        return Notice(
            event="on_hold",
            title=f"Order {order_id} needs you",
            text=self.text,
            urgency=Urgency.ALARM,
            order_id=order_id,
            picture=self.picture,
            step=Step.HOLD,
        )


Outcome = Go | Wait | Hold

RETRY = {"retry": "try this step again"}
CANCEL = {"cancel": "give the order up: the marketplace is told, nothing more is done for it"}
