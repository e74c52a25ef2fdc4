"""What else the pages promise: their configurations load, their links lead somewhere, and the options they name are there."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from agent.cli import cli
from agent.commands.setup_draft import draft_of
from agent.config.load import load
from agent.domain.offer import Supports
from agent.domain.values import Color
from agent.marketplaces.hot_folder.order_files import Defaults, read_order
from agent.marketplaces.mailbox.templates import Template
from tests.docs.pages import NAMES, ROOT, Block, Place, blocks, inline_code, links, name_of, pages

TOML = [block for page in pages() for block in blocks(page) if block.language == "toml"]
OTHER_PROGRAMS = {"Service": "systemd", "zeroconf": "Moonraker", "webcam": "Moonraker", "first_layer_temperature": "PrusaSlicer's"}
"""Names in brackets that are no section of ours."""
_DEFAULTS = Defaults("PLA", Color(name="black"), 15, Supports.NO)
_SECTION = re.compile(r"^\[\[?(\w+)\]\]?(?: (\w+)(?: =.*)?)?$")


# --- configurations ----------------------------------------------------------------------------------------------
class Folder:
    """An operator's folder with the files that a configuration names, whatever is in them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "printers").mkdir()

    def write(self, name: str, text: str) -> None:
        self._needed(tomllib.loads(text), (self.path / name).parent)
        (self.path / name).write_text(text)

    def _needed(self, table: dict[str, Any], beside: Path) -> None:
        for key, value in table.items():
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    self._needed(inner, beside)
            if isinstance(value, str) and not value.startswith("/"):
                self._make(key, beside / value)

    def _make(self, key: str, path: Path) -> None:
        if key.endswith("_dir"):
            path.mkdir(exist_ok=True)
        elif key.endswith("_file"):
            path.parent.mkdir(exist_ok=True)
            path.write_text("ntfys://token@ntfy.example/ada" if key == "urls_file" else "12345678")
            path.chmod(0o600)

    def load(self) -> None:
        load(self.path / "config.toml", environ={})


_AGENT = '[agent]\ndata_dir = "data"\n'
_PRINTER = 'name = "mk3s"\nkind = "virtual"\nprofile = "prusa-mk3s"\n'
_MATERIALS = '[[materials]]\nmaterial = "PLA"\ncolor = "black"\n'


def files_of(block: Block) -> Iterator[tuple[str, str]]:
    """A block may hold several files, each after a comment with its name; one without a name says by its keys what it is."""
    parts = re.split(r"(?m)^# ((?:printers/)?[\w-]+\.toml)\n", block.text)
    if parts[0].strip():
        yield "", parts[0]
    yield from zip(parts[1::2], parts[2::2], strict=True)


def is_printer(table: dict[str, Any]) -> bool:
    return isinstance(table.get("kind"), str) or "materials" in table


def whole(table: dict[str, Any], text: str) -> str:
    """With what a file of that sort cannot do without."""
    if is_printer(table):
        return ("" if "kind" in table else _PRINTER) + text + ("" if "materials" in table else _MATERIALS)
    return text if "agent" in table else _AGENT + text


@pytest.mark.parametrize("block", TOML, ids=lambda block: str(block.place))
def test_a_configuration_is_taken_by_what_reads_it(block: Block, tmp_path: Path) -> None:
    for name, text in files_of(block):
        text = text.replace("/tmp/voron", "voron")
        table = tomllib.loads(text)
        if "setup" in table:
            assert draft_of(table)
        elif "lines" in table:
            assert Template.model_validate(table)
        elif "items" in table:
            assert read_order(text.encode(), _DEFAULTS).items
        else:
            folder = _folder(tmp_path, name)
            folder.write("printers/one.toml" if is_printer(table) else "config.toml", whole(table, text))
            folder.load()


def _folder(tmp_path: Path, name: str) -> Folder:
    path = tmp_path / (Path(name).stem or "home")
    path.mkdir()
    (path / "config.toml").write_text(_AGENT)
    return Folder(path)


def test_other_programs_configurations_are_of_their_form() -> None:
    for page in pages():
        for block in blocks(page):
            if block.language in ("yaml", "json"):
                assert yaml.safe_load(block.text), block.place


# --- links ---------------------------------------------------------------------------------------------------------
@cache
def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: small letters, no punctuation, a hyphen for each blank, numbered where they come again."""
    found: set[str] = set()
    inside = False
    for line in page.read_text().splitlines():
        inside ^= line.lstrip().startswith("```")
        if not inside and (heading := re.match(r"#+ (.+)", line)):
            name = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()).replace(" ", "-")
            found.add(next(given for given in (name, *(f"{name}-{n}" for n in range(1, 99))) if given not in found))
    return found


def leads_nowhere(page: Path, link: str) -> bool:
    if re.match(r"(https?|mailto):", link):
        return False
    path, _, anchor = link.partition("#")
    target = page if not path else (page.parent / path).resolve()
    if not target.exists() or ROOT not in target.parents:
        return True
    return bool(anchor) and anchor not in anchors(target)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [f"{place}: {link}" for place, link in links(page) if leads_nowhere(page, link)] == []


_PATH = re.compile(r"(?:agent|tests|scripts|bench|docs|systemd|slicer_profiles|printers\.example)/[\w./-]+")


def test_files_of_the_repository_that_are_named_are_there() -> None:
    """`agent/wiring.py` and its like, in sentences."""
    wrong = [f"{place}: {code}" for place, code in codes() if _PATH.fullmatch(code) and not (ROOT / code).exists()]
    assert wrong == []


def test_every_page_is_found_from_the_first_one() -> None:
    """By links; a folder's link is its README."""
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        page = page / "README.md" if page.is_dir() else page
        if page.suffix == ".md" and page not in seen and page.exists():
            seen.add(page)
            ahead += [(page.parent / link.partition("#")[0]).resolve() for _, link in links(page) if "://" not in link]
    decisions = ROOT / "docs" / "decisions"
    assert [name_of(page) for page in pages() if page not in seen and page.parent != decisions] == []


# --- options ---------------------------------------------------------------------------------------------------------
@cache
def sections() -> dict[str, set[str]]:
    """Every section and option there is, by the example that is made from the code."""
    found: dict[str, set[str]] = {}
    section = ""
    for line in (ROOT / "config.example.toml").read_text().splitlines():
        if head := re.match(r"#?\s?\[\[?([\w.]+)\]\]?$", line):
            section = head[1]
            found.setdefault(section, set())
        elif option := re.match(r"#?\s?([a-z_]+) = ", line):
            found[section].add(option[1])
    return found


def codes() -> Iterator[tuple[Place, str]]:
    for page in pages():
        yield from inline_code(page)


def test_sections_and_options_that_are_named_exist() -> None:
    wrong = []
    for place, code in codes():
        section, option = match.groups() if (match := _SECTION.match(code)) else ("", None)
        if section and section not in OTHER_PROGRAMS and section != "printers":
            known = sections().get(section)
            wrong += [f"{place}: {code}"] if known is None or (option and option not in known) else []
    assert wrong == []


_OF_PROFILES = {"slicers", "skirts"}
"""Options of profile.toml, and of PrusaSlicer."""


def test_options_that_are_named_with_a_value_exist() -> None:
    """`bed_cool_c = 0` and its like. A decision may speak of what other programs have."""
    known = set().union(*sections().values(), _OF_PROFILES)
    for example in (ROOT / "printers.example").glob("*.toml"):
        known |= set(re.findall(r"(?m)^#?\s?([a-z_]+) = ", example.read_text()))
    said = [(place, match[1]) for place, code in codes() if (match := re.match(r"([a-z_]+) = ", code)) and "/decisions/" not in place.page]
    assert said
    assert [f"{place}: {option}" for place, option in said if option not in known] == []


def test_options_of_commands_that_are_named_exist() -> None:
    """`confirm hold ID CHOICE`, `setup --find --seconds 30` and their like, in tables and in sentences."""
    wrong = [f"{place}: {code}" for place, code in codes() if (words := code.split()) and words[0] in NAMES and not _taken(words)]
    assert wrong == []


def _taken(words: list[str]) -> bool:
    with click.Context(cli) as context:
        command: click.Command | None = cli.get_command(context, words[0])
        for word in words[1:]:
            inner = command.get_command(context, word) if isinstance(command, click.Group) else None
            command = inner or command
        assert command is not None
        below = command.commands.values() if isinstance(command, click.Group) else []
        known = {option for one in (command, *below) for param in one.params for option in param.opts}
    said = {option for word in words[1:] for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", word)}
    return said <= known


def test_the_list_of_commands_is_whole() -> None:
    page = ROOT / "docs" / "commands.md"
    listed = {code.split()[0] for _, line in _rows(page) for code in re.findall(r"`([^`]+)`", re.split(r"(?<!\\)\|", line)[1])}
    assert NAMES - {"pair", "people"} <= listed, "those two are docs/web.md's"


def _rows(page: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.startswith("| `"):
            yield number, line
