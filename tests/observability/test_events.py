"""docs/events.md is what the code logs and keeps: every name, its level and its fields, and nothing else."""

import re
from collections import Counter

import pytest

from tests.observability import vocabulary

DOCUMENT = (vocabulary.ROOT / "docs/events.md").read_text(encoding="utf-8")
_LOG, _, _HISTORY = DOCUMENT.partition("## The history of an order")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(-[a-z]+)*")


def _rows(part: str, width: int) -> list[list[str]]:
    """The table rows that begin with a name."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line.startswith("| `")]
    return [row for row in rows if len(row) == width]


def _words(cell: str) -> set[str]:
    return set() if cell == "–" else set(re.sub(r"[`\s]", "", cell).split(","))


def _logged_by_the_document() -> dict[str, set[str]]:
    return {name.strip("`"): _words(fields) | {f"({one.strip()})" for one in level.split(",")} for name, level, _, fields in _rows(_LOG, 4)}


def test_every_event_that_is_logged_is_documented_with_its_level_and_fields() -> None:
    assert _logged_by_the_document() == vocabulary.logged()


def test_every_kind_of_the_history_is_documented_with_its_data() -> None:
    assert {name.strip("`"): _words(data) for name, _, data in _rows(_HISTORY, 3)} == vocabulary.kept()


@pytest.mark.parametrize(("part", "width"), [(_LOG, 4), (_HISTORY, 3)], ids=["log", "history"])
def test_each_name_stands_there_once_with_what_happened(part: str, width: int) -> None:
    rows = _rows(part, width)
    assert [name for name, times in Counter(row[0] for row in rows).items() if times > 1] == []
    assert [row[0] for row in rows if len(row[-2] if width == 3 else row[2]) < 8] == []


def test_names_are_written_alike() -> None:
    """Small letters and underlines; a step that people answer keeps its dash."""
    assert [name for name in {*vocabulary.logged(), *vocabulary.kept()} if not _NAME.fullmatch(name)] == []


def test_a_name_is_followed_to_where_it_is_written() -> None:
    code = (
        'ONE, TWO = "one", "two"\nT = {1: ONE, 2: TWO}\ndef f(n, ok):\n    log.info(T[n])\n    log.info("three" if ok else f"{ONE}_four")\n'
    )
    assert vocabulary.events_in(code) == {"one", "two", "three", "one_four"}


def test_a_name_that_cannot_be_followed_is_told() -> None:
    with pytest.raises(vocabulary.Unfollowed):
        vocabulary.events_in("def f():\n    log.info(made_up())\n")
