"""The log: no secret ever comes out, nothing from outside moves a cursor, and every line can be read by a machine."""

import json
import logging
import warnings
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import logs
from agent.logs import MASK, MOST_CHARACTERS, masked, redact
from tests.rigs.written_log import written_log

SECRET = "hunter2-s3cr3t"
NAMES = [
    "token",
    "api_key",
    "apikey",
    "apiKey",
    "X-Api-Key",
    "authorization",
    "Proxy-Authorization",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "client_secret",
    "cookie",
    "Set-Cookie",
    "credentials",
    "credential",
    "access_token",
    "accessToken",
    "tokens",
    "private_key",
    "access_code",
]


def redacted(**event: Any) -> dict[str, Any]:
    return dict(redact(None, "info", dict(event)))


def written(event: dict[str, Any]) -> str:
    return json.dumps(redact(None, "info", event), ensure_ascii=False)


# --- by name -----------------------------------------------------------------------------------------------------

plain = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(), st.text(max_size=8), st.binary(max_size=4))
secrets = st.sampled_from([SECRET, SECRET.encode(), [SECRET], {"a": SECRET}, (SECRET, 1)])
names = st.sampled_from(NAMES)


def holding(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A container somewhere in which a secret stands under its name."""
    words = st.text("abcxyz", max_size=5)
    return st.one_of(
        st.builds(lambda key, value, more: {**more, key: value}, words, inner, st.dictionaries(words, plain, max_size=2)),
        st.builds(lambda value, more: [*more, value], inner, st.lists(plain, max_size=2)),
        st.builds(lambda value, more: (value, more), inner, plain),
    )


named = st.one_of(
    st.builds(lambda name, value: {name: value}, names, secrets),
    st.builds(lambda name, value: {name.encode(): value}, names, secrets),
    st.builds(lambda name, value: [(name, value)], names, secrets),
    st.builds(lambda name, value: [(name.encode(), value)], names, secrets),
)


@settings(deadline=None)
@given(st.recursive(named, holding, max_leaves=5))
def test_a_secret_under_its_name_never_comes_out(value: Any) -> None:
    assert SECRET not in written({"event": "x", "about": value})


@settings(deadline=None)
@given(names, secrets)
def test_nor_at_the_top(name: str, value: Any) -> None:
    assert redacted(event="x", **{name: value})[name] == MASK


def test_what_is_no_secret_stays() -> None:
    told = {"order": "o1", "token_file": "/run/token", "text": "Bearer of news", "seconds": 1.5, "n": 3, "ok": True, "none": None}
    assert redacted(event="ready", **told) == {"event": "ready", **told, "text": "Bearer *** news"}


# --- by its look -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "https://ada:{}@market.example/v1",
        "https://{}@market.example",
        "ntfys://{}@ntfy.sh/garage is away",
        "postgresql+psycopg://agent:{}'x@db/ledger",
        "GET /socket?access_token={}&x=1",
        "GET https://h/f?X-Amz-Signature={}&X-Amz-Credential={}",
        "/signed/or-1/file-1?expires=1.5&signature={}",
        "Authorization: Bearer {}",
        "authorization: Basic {}==",
        "bearer {}",
        "Authorization: {}",
        "X-Api-Key: {}",
        "x-api-key={}",
        'Cookie: a="{}"; b={}',
        "Set-Cookie: session={}; Path=/",
        "{{'Authorization': 'Digest {}', 'Accept': '*/*'}}",
        "[(b'X-Api-Key', b'{}')]",
        "Settings(name='x', token='{}')",
        'password="{}"',
        '{{"api_key": "{}"}}',
        '{{"access_code": "a \\" b {}"}}',
        "{{'password': b'{}'}}",
        "MQTT_PASSWORD={} in the environment",
        "first line\nX-Api-Key: {}\nlast line",
    ],
)
def test_a_secret_in_a_text_never_comes_out(text: str) -> None:
    said = text.format(SECRET, SECRET)
    assert SECRET not in masked(said)
    assert SECRET not in written({"event": said, "why": [said], "error": ValueError(said), "about": {said: 1}})


credential = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-._~!$&'()*+,;=%:"), min_size=1, max_size=30)


@settings(deadline=None)
@given(credential.map("Z9z".__add__), st.sampled_from(["https", "ntfy", "postgresql+psycopg", "json"]))
def test_whatever_stands_before_the_host_of_a_url_is_masked(secret: str, scheme: str) -> None:
    assert masked(f"{scheme}://{secret}@host/path") == f"{scheme}://{MASK}@host/path"
    assert secret not in masked(f"asked {scheme}://ada:{secret}@host:80/path?x=1 twice")


@settings(deadline=None)
@given(st.text())
def test_masking_twice_is_masking_once_and_never_fails(text: str) -> None:
    assert masked(masked(text)) == masked(text)


def test_a_text_without_an_end_is_cut_in_good_time() -> None:
    for long in ("x" * 5_000_000, "://" * 1_000_000, "://" + "a@" * 1_000_000, '"token":"' * 500_000, "cookie:" * 500_000):
        told = redacted(event=long)["event"]
        assert len(told) <= 2 * MOST_CHARACTERS


# --- control characters ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=0x2070)))
def test_nothing_that_moves_a_cursor_or_turns_the_writing_comes_out(text: str) -> None:
    told = redacted(event=text, more=[text])
    for shown in (told["event"], told["more"][0]):
        assert not set(shown) & {chr(c) for c in (*range(9), *range(11, 32), *range(127, 160), 0x200E, 0x202E, 0x2028, 0x2066)}


@settings(deadline=None)
@given(st.recursive(plain, holding, max_leaves=6))
def test_every_event_can_be_written_as_json(value: Any) -> None:
    json.loads(written({"event": "x", "about": value}), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_value_inside_itself_ends() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = [endless]
    assert "…" in written({"event": "x", "about": endless})


# --- the whole way to stderr -------------------------------------------------------------------------------------


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_where_there_is_no_terminal() -> None:
    with written_log(json=None) as out, structlog.contextvars.bound_contextvars(order="o1"):
        structlog.get_logger().info("ready", printers=["mk3s"], token=SECRET)
        structlog.get_logger().debug("not told")
    (line,) = lines(out.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "ready", "level": "info", "printers": ["mk3s"], "token": MASK, "order": "o1"}


def test_a_person_at_a_terminal_gets_words() -> None:
    with written_log(json=None, screen=True) as out:
        structlog.get_logger().warning("printer_lost", why="a\nb \x1b[2J", token=SECRET)
    assert "printer_lost" in out.getvalue()
    assert out.getvalue().count("\n") == 1  # a line break from outside forges no line
    assert "\x1b[2J" not in out.getvalue()
    assert SECRET not in out.getvalue()


def test_an_event_of_a_library_forges_no_line_at_a_terminal() -> None:
    with written_log(json=False) as out:
        logging.getLogger("urllib3").warning("lost\n2026-01-31 [info] paid")
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(("level", "told"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level(level: logs.Level, told: int) -> None:
    with written_log(level=level) as out:
        for name in ("debug", "info", "warning", "error"):
            getattr(structlog.get_logger(), name)("x")
    assert len(lines(out.getvalue())) == told


def test_a_traceback_is_masked_too() -> None:
    with written_log() as out:
        try:
            raise ValueError(f"https://ada:{SECRET}@host refused")
        except ValueError:
            structlog.get_logger().exception("bug")
            logging.getLogger("library").exception("lost %s", "it")
    ours, theirs = lines(out.getvalue())
    assert "ValueError: https://***@host refused" in ours["exception"]
    assert "ValueError: https://***@host refused" in theirs["exception"]
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("lost it", "error", "library")
    assert SECRET not in out.getvalue()


def test_libraries_are_heard_from_warning_up_and_masked() -> None:
    with written_log() as out:
        logging.getLogger("httpx").info("HTTP Request: GET https://market.example")
        logging.getLogger("apprise").warning("X-Api-Key: %s \x1b[31m", SECRET)
    (line,) = lines(out.getvalue())
    assert (line["logger"], line["level"]) == ("apprise", "warning")
    assert SECRET not in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_warnings_of_the_interpreter_are_log_lines() -> None:
    with written_log() as out, warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("an old way", UserWarning, stacklevel=1)
    (line,) = lines(out.getvalue())
    assert line["logger"] == "py.warnings"
    assert "an old way" in line["event"]


def test_half_a_surrogate_pair_of_a_files_name_is_written() -> None:
    with written_log() as out:
        structlog.get_logger().info("found", name="caf\udce9.stl")
    assert out.getvalue().encode(errors="backslashreplace")
