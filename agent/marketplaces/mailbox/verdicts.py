"""The header Authentication-Results (RFC 8601), read strictly: what is not well formed says nothing."""

import re
from dataclasses import dataclass, field

LONGEST = 8192
_MOST_RESULTS = 100
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_STATEMENT = re.compile(rf'(?:[^";]|{_QUOTED})*', re.DOTALL)
_SERVER = re.compile(rf'\s*({_QUOTED}|[^\s;"=]+)(?:\s+1)?\s*', re.DOTALL)
_METHOD = re.compile(r"\s*([A-Za-z0-9-]+)(?:\s*/\s*1)?\s*=\s*([A-Za-z]+)(?=\s|\Z)")
_PROPERTY = re.compile(rf'\s+([A-Za-z0-9.-]+)\s*=\s*({_QUOTED}|[^\s;"]+)(?=\s|\Z)', re.DOTALL)
_NONE = re.compile(r"\s*none\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Result:
    """One method's verdict. `properties`: `header.from` and the like, in small letters, with their values as written."""

    method: str
    result: str
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdicts:
    """`server`: who says so (authserv-id), in small letters."""

    server: str
    results: list[Result]


def read_verdicts(header: str) -> Verdicts | None:
    """What an Authentication-Results header says; None where it is not written as RFC 8601 has it."""
    if len(header) > LONGEST:
        return None
    try:
        first, *rest = _statements(_without_comments(header))
        server = _SERVER.fullmatch(first)
        if server is None:
            return None
        told = [statement for statement in rest if statement.strip() and not _NONE.fullmatch(statement)]
        return Verdicts(_plain(server[1]).lower(), [_result(statement) for statement in told][:_MOST_RESULTS])
    except _Malformed:
        return None


class _Malformed(Exception):
    """This is not how the header is written."""


def _without_comments(text: str) -> str:
    """Comments may be nested, and hold a quoted `)`: "\\)"."""
    kept: list[str] = []
    depth, quoted, n = 0, False, 0
    while n < len(text):
        c = text[n]
        if c == "\\":
            kept.append(text[n : n + 2] if depth == 0 else "")
            n += 2
            continue
        if c == '"' and depth == 0:
            quoted = not quoted
        depth += 0 if quoted else (c == "(") - (c == ")")
        if depth < 0:
            raise _Malformed
        kept.append(c if depth == 0 and (quoted or c != ")") else " ")
        n += 1
    if depth or quoted:
        raise _Malformed
    return "".join(kept)


def _statements(text: str) -> list[str]:
    """What stands between the semicolons that are not quoted."""
    parts: list[str] = []
    at = 0
    while at <= len(text):
        found = _STATEMENT.match(text, at)
        if found is None or text[found.end() : found.end() + 1] not in ("", ";"):
            raise _Malformed
        parts.append(found[0])
        at = found.end() + 1
    return parts


def _result(statement: str) -> Result:
    """method [/version] = result, then any number of property = value."""
    head = _METHOD.match(statement)
    if head is None:
        raise _Malformed
    properties: dict[str, str] = {}
    at = head.end()
    while statement[at:].strip():
        found = _PROPERTY.match(statement, at)
        if found is None:
            raise _Malformed
        name, value = found[1].lower(), _plain(found[2])
        if properties.setdefault(name, value) != value:
            raise _Malformed  # two answers to one question
        at = found.end()
    return Result(head[1].lower(), head[2].lower(), properties)


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value.startswith('"') else value
