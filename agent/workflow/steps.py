"""What a handler answers: where its order goes, or what it waits for."""

from dataclasses import dataclass, field
from typing import Any

from agent.domain.order import Dossier, State
from agent.domain.question import NewQuestion, Question, Step


@dataclass(frozen=True)
class Go:
    """The order moves on. `settles` is the question whose answer brought it here."""

    to: State
    event: str
    data: dict[str, Any] = field(default_factory=dict)
    dossier: Dossier | None = None
    settles: Question | None = None
    resume: State | None = None


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

    def question(self) -> NewQuestion:
        return NewQuestion(step=Step.HOLD, text=self.text, choices=self.choices, data={"reason": self.reason, **self.data})


Outcome = Go | Wait | Hold

RETRY = {"retry": "try this step again"}
CANCEL = {"cancel": "give the order up: the marketplace is told, nothing more is done for it"}
