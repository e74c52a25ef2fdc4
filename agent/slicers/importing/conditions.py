"""For which printers a preset is: PrusaSlicer's `compatible_printers_condition`, such as `printer_model=="MINI" and ! silent_mode`.

The conditions come from files that other people wrote: they are read by a small parser of our own, and a regular expression is tried only
where it is so plain that it cannot take long.
"""

import operator
import re
from collections.abc import Callable, Mapping

from agent.slicers.importing.draft import Setting

Value = bool | float | str
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>"[^"]*")|(?P<word>[a-z_]\w*)(?:\[(?P<index>\d+)\])?
    |(?P<match>=~|!~)\s*/(?P<regex>(?:[^/\\]|\\.)*)/|(?P<sign>==|!=|<=|>=|<>|<|>|&&|\|\||[()!]))""",
    re.VERBOSE,
)
_MOST_STARS = 2
_LONGEST = 2000
_DEEPEST = 20
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_OR, _AND, _NOT = ("or", "||"), ("and", "&&"), ("not", "!")


class _Unreadable(Exception):
    """It holds something that this parser does not know."""


def fits(condition: str, machine: Mapping[str, Setting]) -> bool | None:
    """Whether the printer meets it; None where that cannot be told. An empty condition is met."""
    if not condition.strip():
        return True
    try:
        parser = _Parser(condition, machine)
        found = parser.either(0)
        return _truth(found) if parser.ended else None
    except _Unreadable:
        return None


class _Parser:
    """Each method reads one level of the grammar and gives its value."""

    def __init__(self, condition: str, machine: Mapping[str, Setting]) -> None:
        self._machine = machine
        self._tokens = _tokens(condition)
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at == len(self._tokens)

    def either(self, depth: int) -> Value:
        found = self._both(depth)
        while self._took(*_OR):
            other = self._both(depth)
            found = _truth(found) or _truth(other)
        return found

    def _both(self, depth: int) -> Value:
        found = self._negated(depth)
        while self._took(*_AND):
            other = self._negated(depth)
            found = _truth(found) and _truth(other)
        return found

    def _negated(self, depth: int) -> Value:
        if depth > _DEEPEST:
            raise _Unreadable
        return not _truth(self._negated(depth + 1)) if self._took(*_NOT) else self._compared(depth)

    def _compared(self, depth: int) -> Value:
        found = self._single(depth)
        token = self._next()
        if token is None:
            return found
        if token["match"]:
            self._at += 1
            return _matches(token["regex"], str(found)) is (token["match"] == "=~")
        sign = token["sign"]
        if sign in ("==", "!=", "<>"):
            self._at += 1
            return (found == self._single(depth)) is (sign == "==")
        if sign in _COMPARED:
            self._at += 1
            other = self._single(depth)
            return isinstance(found, float) and isinstance(other, float) and _COMPARED[sign](found, other)
        return found

    def _single(self, depth: int) -> Value:
        if self._took("("):
            found = self.either(depth + 1)
            if not self._took(")"):
                raise _Unreadable
            return found
        token = self._next()
        self._at += 1
        if token is None or token["sign"] or token["match"]:
            raise _Unreadable
        if token["number"]:
            return float(token["number"])
        return token["text"][1:-1] if token["text"] else self._named(token["word"], int(token["index"] or 0))

    def _named(self, key: str, index: int) -> Value:
        if key in ("true", "false"):
            return key == "true"
        if key == "num_extruders":
            return float(len(self._machine["nozzle_diameter"].text.split(","))) if "nozzle_diameter" in self._machine else 1.0
        if key not in self._machine:
            return False  # of the few keys that conditions name, all that may be missing are switches
        text = self._machine[key].text
        try:
            return float(text.split(",")[index])
        except (ValueError, IndexError):
            return text.strip('"')

    def _next(self) -> Mapping[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _took(self, *words: str) -> bool:
        token = self._next()
        if token is None or (token["sign"] or token["word"]) not in words:
            return False
        self._at += 1
        return True


def _tokens(condition: str) -> list[Mapping[str, str]]:
    text = condition.strip()
    found: list[Mapping[str, str]] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or len(text) > _LONGEST:
            raise _Unreadable
        found.append({name: value or "" for name, value in token.groupdict().items()})
        at = token.end()
    return found


def _truth(value: Value) -> bool:
    return bool(value)


def _matches(regex: str, text: str) -> bool:
    """The whole text, as PrusaSlicer does it. Nothing in it may repeat, but for two `.*`."""
    if regex.count("*") > _MOST_STARS or regex.count("*") != regex.count(".*") or re.search(r"[+?{]", regex):
        raise _Unreadable
    try:
        return re.fullmatch(regex, text[:_LONGEST], re.DOTALL) is not None
    except re.error as error:
        raise _Unreadable from error
