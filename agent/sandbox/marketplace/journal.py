"""What was really done, and how often it was asked for: a test's truth about "done twice"."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class Tally:
    """One operation on one subject. `done` counts changes of state, `asked` requests, `keys` the idempotency keys they came with."""

    asked: int = 0
    replayed: int = 0
    done: int = 0
    keys: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {"asked": self.asked, "replayed": self.replayed, "done": self.done, "keys": list(self.keys)}


class Journal:
    """Every act that changed something, in order, and a tally for each operation and subject.

    Operations are named by the contract's operationId. A subject is the offer's or order's id, `<order>/<photo>` for a photo,
    and empty for what belongs to the operator.
    """

    def __init__(self) -> None:
        self._done: list[dict[str, Any]] = []
        self._tallies: dict[str, dict[str, Tally]] = {}
        self._requests: dict[str, int] = {}

    def request(self, operation: str) -> None:
        """A request came in with a token that serves, whatever became of it."""
        self._requests[operation] = self._requests.get(operation, 0) + 1

    def asked(self, operation: str, subject: str, key: str) -> None:
        tally = self._tally(operation, subject)
        tally.asked += 1
        if key not in tally.keys:
            tally.keys.append(key)

    def replayed(self, operation: str, subject: str) -> None:
        self._tally(operation, subject).replayed += 1

    def done(self, at: datetime, operation: str, subject: str, **facts: Any) -> None:
        """Something changed. `facts` are what is worth knowing of it."""
        self._tally(operation, subject).done += 1
        self._done.append({"n": len(self._done) + 1, "at": at.isoformat(), "operation": operation, "subject": subject, **facts})

    def times_done(self, operation: str, subject: str = "") -> int:
        tally = self._tallies.get(operation, {}).get(subject)
        return tally.done if tally else 0

    def told(self) -> dict[str, Any]:
        """`done`: the acts in order; `acts`: operation -> subject -> tally; `requests`: operation -> how many came."""
        acts = {operation: {subject: tally.told() for subject, tally in subjects.items()} for operation, subjects in self._tallies.items()}
        return {"done": list(self._done), "acts": acts, "requests": dict(self._requests)}

    def _tally(self, operation: str, subject: str) -> Tally:
        return self._tallies.setdefault(operation, {}).setdefault(subject, Tally())
