"""Faults by name: what can go wrong between an agent and a marketplace, made to happen when a test wants it."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.sandbox.marketplace.problems import Problem

FILES = ("previewOfferFile", "getOrderFile", "getLabel")
ANY: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """`usual`: the operations it hits without a target (none named: all). `possible`: the ones it may be aimed at."""

    usual: tuple[str, ...]
    possible: tuple[str, ...]
    params: Mapping[str, Any]


def _anywhere(**params: Any) -> Kind:
    return Kind(ANY, ANY, params)


def _models(**params: Any) -> Kind:
    return Kind(("previewOfferFile", "getOrderFile"), FILES, params)


def _redirect(**params: Any) -> Kind:
    return Kind(("getOrderFile",), ("previewOfferFile", "getOrderFile"), params)


def _only(*operations: str, **params: Any) -> Kind:
    return Kind(operations, operations, params)


KINDS: Mapping[str, Kind] = {
    # `drip`: the answer comes at once but piece by piece; else nothing comes, and nothing is done, for `seconds`.
    "slow": _anywhere(seconds=2.0, drip=False),
    "error_500": _anywhere(),
    "unavailable_503": _anywhere(retry_after_s=1),
    "too_many_429": _anywhere(retry_after_s=1),
    "drop_before_acting": _anywhere(),
    "drop_reply_after_acting": _anywhere(),
    "broken_json": _anywhere(),
    "deadline_expired": _only("acceptOffer"),
    "offer_withdrawn": _only("acceptOffer"),
    "offer_taken": _only("acceptOffer"),
    # Its own times (Date, created_at, accept_by) are so many seconds ahead of the truth, or behind it; accept_within_s is right.
    "clock_off": _only("listOffers", "getOffer", seconds=600.0, behind=False),
    # Every offer of the page stands on it twice.
    "offer_twice": _only("listOffers"),
    "not_before_accept": _only("previewOfferFile"),
    "wrong_sha256": _models(),
    # `with_length`: the answer's Content-Length tells the true, huge size; else it is told nowhere.
    "huge_file": _models(bytes=64 * 1024 * 1024, with_length=False),
    # `clean_end`: the answer looks whole and is not; else the connection ends in the middle.
    "truncated_file": _models(clean_end=False),
    "redirect_private": _redirect(url="http://10.0.0.1/model.stl"),
    "redirect_signed": Kind(("getOrderFile",), ("getOrderFile",), {"ttl_s": 30.0}),
}


@dataclass
class Fault:
    """One fault that is set. `left` None: until it is cleared. `rate`: it happens by chance, in this share of the cases; the same seed
    is the same luck."""

    name: str
    target: str | None
    left: int | None
    params: dict[str, Any]
    rate: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._luck = random.Random(f"{self.seed} {self.name} {self.target}")

    def hits(self, operation: str) -> bool:
        usual = KINDS[self.name].usual
        aimed = self.target == operation if self.target is not None else usual == ANY or operation in usual
        return aimed and (self.rate >= 1 or self._luck.random() < self.rate)

    def told(self) -> dict[str, Any]:
        return {"name": self.name, "target": self.target, "left": self.left, "rate": self.rate, "params": self.params}


def _alike(value: object, usual: object) -> bool:
    """True where the value is of the usual one's kind; a number is a number, with or without a fraction, and not negative."""
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(usual, bool) and isinstance(value, bool)
    if isinstance(usual, int | float):
        return isinstance(value, int | float) and value >= 0
    return isinstance(value, str)


class Faults:
    """The faults that are set, the oldest first. Several of one name may wait for their turn."""

    def __init__(self, operations: frozenset[str]) -> None:
        self._operations = operations
        self._set: list[Fault] = []
        self.happened: Counter[str] = Counter()

    def set(
        self,
        name: str,
        target: str | None = None,
        count: int | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        rate: float = 1.0,
        seed: int = 0,
    ) -> Fault:
        """Problem 422 where there is no such fault, operation or parameter, or the one cannot hit the other."""
        kind = KINDS.get(name)
        if kind is None:
            raise Problem(422, "unknown_fault", f"There is no fault {name!r}. There are: {', '.join(KINDS)}.")
        possible = kind.possible or tuple(sorted(self._operations))
        if target is not None and target not in possible:
            raise Problem(422, "wrong_target", f"{name} can hit {', '.join(possible)}; not {target!r}.")
        unknown = sorted(set(params or {}) - set(kind.params))
        if unknown:
            raise Problem(422, "unknown_parameter", f"{name} takes {', '.join(kind.params) or 'no parameters'}; not {', '.join(unknown)}.")
        merged = {**kind.params, **(params or {})}
        wrong = [param for param, usual in kind.params.items() if not _alike(merged[param], usual)]
        if wrong:
            raise Problem(422, "bad_parameter", f"{name}: {', '.join(wrong)} must be of the kind of {dict(kind.params)}.")
        fault = Fault(name, target, count, merged, rate, seed)
        self._set.append(fault)
        return fault

    def clear(self, name: str | None = None) -> None:
        """This fault, or all of them."""
        self._set = [fault for fault in self._set if name is not None and fault.name != name]

    def take(self, name: str, operation: str) -> Fault | None:
        """The fault if it is to happen now; that uses up one of its count."""
        for fault in self._set:
            if fault.name == name and fault.hits(operation):
                if fault.left is not None:
                    fault.left -= 1
                    if fault.left <= 0:
                        self._set.remove(fault)
                self.happened[name] += 1
                return fault
        return None

    def told(self) -> list[dict[str, Any]]:
        return [fault.told() for fault in self._set]
