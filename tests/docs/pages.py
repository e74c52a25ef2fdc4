"""The documentation as a program reads it: blocks, inline code, links, and the commands in all of them, each with its place."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agent.cli import _COMMANDS

ROOT = Path(__file__).parents[2]
AGENT = "intagly-agent"
NAMES = frozenset(_COMMANDS)
"""Of the agent's commands."""
_FENCE = re.compile(r"^\s*```(\w*)")
_PLAIN = re.compile(rf"^(?:\$ )?((?:{AGENT}|curl) .*)")
"""A command in a block that says not what it is."""
_INLINE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
_BEFORE = {"sudo"}


@dataclass(frozen=True)
class Place:
    page: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Block:
    """A fenced block; `place` is its first line's."""

    place: Place
    language: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True)
class Command:
    """One simple command of a line, `block` counting the blocks: those of one share what is set there, `stage` its place in a pipe."""

    place: Place
    words: tuple[str, ...]
    block: int = -1
    inline: bool = False

    @property
    def program(self) -> str:
        return Path(self.words[0]).name if self.words[0].endswith(f"/{AGENT}") else self.words[0]

    @property
    def asked(self) -> tuple[str, ...]:
        """What the agent is given."""
        return self.words[1:]

    def __str__(self) -> str:
        return f"{self.place} {shlex.join(self.words)}"


def pages() -> list[Path]:
    named = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "systemd" / "README.md"]
    return [*named, *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    found: list[Block] = []
    begun: tuple[int, str, list[str]] | None = None
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if begun and fence:
            found.append(Block(Place(name_of(page), begun[0]), begun[1], tuple(begun[2])))
            begun = None
        elif fence:
            begun = (number + 1, fence[1], [])
        elif begun:
            begun[2].append(line)
    assert begun is None, f"{name_of(page)}:{begun and begun[0]}: a block without an end"
    return tuple(found)


def prose(page: Path) -> Iterator[tuple[Place, str]]:
    """Every line outside of blocks."""
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield Place(name_of(page), number), line


def inline_code(page: Path) -> Iterator[tuple[Place, str]]:
    for place, line in prose(page):
        for code in _INLINE.findall(line):
            yield place, code.replace("\\|", "|")


def links(page: Path) -> Iterator[tuple[Place, str]]:
    for place, line in prose(page):
        for link, picture in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
            yield place, link or picture


def commands() -> list[Command]:
    """All of all pages, in their order: those of blocks, and the agent's own in the text."""
    return [command for page in pages() for command in (*_of_blocks(page), *_of_text(page))]


def _of_blocks(page: Path) -> Iterator[Command]:
    for number, block in enumerate(blocks(page)):
        if block.language == "sh":
            lines = list(enumerate(block.lines))
        elif not block.language:
            lines = [(offset, plain[1]) for offset, line in enumerate(block.lines) if (plain := _PLAIN.match(line))]
        else:
            continue
        for offset, text in _whole(lines):
            place = Place(block.place.page, block.place.line + offset)
            for words in _simple(text, plain=not block.language):
                yield Command(place, words, number)


def _whole(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines that an open quote or a backslash goes on over are one."""
    first, so_far = 0, ""
    for offset, line in lines:
        first = first if so_far else offset
        so_far = f"{so_far}\n{line}" if so_far else line
        if so_far.endswith("\\"):
            so_far = so_far[:-1]
            continue
        try:
            _words(so_far)
        except ValueError:  # shlex's word for a quote that is not closed yet
            continue
        yield first, so_far
        so_far = ""
    assert not so_far, f"a quote is not closed: {so_far}"


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    return list(lexer)


def _simple(text: str, *, plain: bool) -> Iterator[tuple[str, ...]]:
    """The simple commands of a line, without what stands behind them in words: `plain` blocks have it after three blanks."""
    text = re.split(r" {3,}", text)[0] if plain else text
    found: list[str] = []
    for word in [*_words(text), ";"]:
        if word in (";", "&&", "|", "||"):
            found = found[1:] if found and found[0] in _BEFORE else found
            if found:
                yield tuple(found)
            found = []
        else:
            found.append(word)


def _of_text(page: Path) -> Iterator[Command]:
    for place, code in inline_code(page):
        if code.startswith((f"{AGENT} ", f".venv/bin/{AGENT} ", f"sudo {AGENT} ", f"journalctl -u {AGENT}", "systemctl ")):
            for words in _simple(code, plain=False):
                yield Command(place, words, inline=True)
