"""How the agent logs: structlog on stderr, JSON lines for a machine, coloured keys and values for a person at a terminal.

stdout is never written to: it belongs to the commands' answers. Secrets are masked on the way out, whoever logs them.
"""

import logging
import math
import re
import sys
from typing import Any, Literal, cast

# structlog takes these along where it finds them: rich for tracebacks of a kind that we do not show, a tenth of a second for every
# command, and greenlet for threads of a kind that we have none of, 1.1 MiB.
_LEFT_OUT = ("rich", "greenlet")
for _name in _LEFT_OUT:
    sys.modules.setdefault(_name, cast(Any, None))
import structlog  # noqa: E402 - after that
from structlog.typing import EventDict, Processor, WrappedLogger  # noqa: E402

for _name in _LEFT_OUT:
    if sys.modules[_name] is None:
        del sys.modules[_name]

Level = Literal["debug", "info", "warning", "error"]

MASK = "***"
MOST_CHARACTERS = 20_000
"""Of one text; a traceback is far shorter."""
_DEEPEST = 20
_NAMES = r"(?:token|api[_-]?key|authorization|passw(?:or)?d|passphrase|secret|cookie|credential|private[_-]?key|access[_-]?code)s?"
_SECRET_NAME = re.compile(rf"{_NAMES}\Z", re.IGNORECASE)
_SECRETS_IN_TEXT = (
    # user:password@ or token@ in a URL
    (re.compile(r"(?<=://)[^/?#\s\"]+(?=@)"), MASK),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    # a header line, or a header in a list or dict of them: to the end of the line, because its value may hold anything
    (re.compile(r"(?i)\b((?:proxy-)?authorization|x-api-key|(?:set-)?cookie)(['\"]?\s*[:=]|['\"],)\s*[^\r\n]+"), rf"\1\2 {MASK}"),
    # "name": "value", as JSON and Python write it
    (re.compile(rf"(?i)({_NAMES}(['\"])\s*:\s*b?)(['\"])(?:\\.|(?!\3).)*\3"), rf"\1\3{MASK}\3"),
    # name=value, in a query or a setting
    (re.compile(rf"(?i)((?:{_NAMES}|auth|signature|sig)=)(['\"]?)[^\s&'\"]+"), rf"\1\2{MASK}"),
)
# C0, DEL and C1 but for tab and line feed; what ends a line or turns the direction of writing
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def masked(text: str) -> str:
    """Text without the credentials of the URLs, headers and settings in it."""
    for pattern, replacement in _SECRETS_IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor that masks secrets, by the name of the key and by the look of the text, at any depth.

    It also replaces control characters: in a library's message they would move the cursor of whoever reads the log.
    What it returns can be written as JSON.
    """
    return {key: MASK if _is_secret(key) else _redacted(value) for key, value in event.items()}


def _is_secret(name: object) -> bool:
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    return isinstance(name, str) and _SECRET_NAME.search(name) is not None


def _redacted(value: Any, depth: int = 0) -> Any:
    match value:
        case str():
            return masked(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", _cut(value)))
        case bytes():
            return _redacted(value.decode(errors="replace"))
        case dict() | list() | tuple() | set() | frozenset():
            return _redacted_inside(value, depth + 1) if depth < _DEEPEST else "…"
        case bool() | int() | None:
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            return _redacted(str(value))


def _redacted_inside(container: Any, depth: int) -> Any:
    match container:
        case dict():
            return {_redacted(str(k)): MASK if _is_secret(k) else _redacted(v, depth) for k, v in container.items()}
        case (name, _) if _is_secret(name):
            return [_redacted(name), MASK]  # one of a list of headers
        case _:
            return [_redacted(v, depth) for v in container]


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"


def _on_one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A line break in a library's message must forge no line of ours; every other text is shown as a literal anyway."""
    return {**event, "event": str(event.get("event", "")).replace("\n", "\\n")}


def configure(level: Level = "info", json: bool | None = None) -> None:
    """Set up logging for the whole process. `json` None: JSON unless stderr is a terminal.

    Libraries' own logging and Python's warnings come out the same way, from WARNING up.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Tracebacks become text here, so that what stands in them is masked too.
        structlog.processors.format_exc_info,
    ]
    after: list[Processor] = [redact, _renderer(as_json)] if as_json else [redact, _on_one_line, _renderer(as_json)]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    _route_libraries([*before, structlog.stdlib.add_logger_name], after)


def _renderer(as_json: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    # Text from outside is shown as a literal, so that a line break in it forges no line.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, repr_native_str=True
    )


def _route_libraries(before: list[Processor], after: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=[remove_meta, *after]))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
