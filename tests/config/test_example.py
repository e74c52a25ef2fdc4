"""The example files are what the code says, and load with every option set. Whatever is written, loading does not fall over."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config.acceptance import PackagingOption
from agent.config.example import rendered
from agent.config.mistakes import BadConfiguration
from agent.config.model import Settings
from agent.config.values import ColorOption, Section
from tests.config.folder import Folder

ROOT = Path(__file__).parents[2]
CONFIG = "config.example.toml"
EXAMPLES = rendered()
NOT_SET = re.compile(r"^#([a-z_]+ = |\[)", re.MULTILINE)
"""An option that is not set, or the table around some."""


def leaves(table: type[Section]) -> list[type[Section]]:
    return [leaf for inner in table.__subclasses__() for leaf in leaves(inner)] or [table]


TABLES = [table for table in leaves(Section) if table not in (ColorOption, PackagingOption)]


class Example(Folder):
    """The example files where an operator puts them, with the secrets and profiles they name."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.secret("ledger", "postgresql+psycopg://agent@db/ledger").secret("mqtt", "pa55").secret("mk3s.key", "k3y")
        self.secret("mail", "pa55").secret("ada", "ntfys://t0ken@ntfy.example/ada")
        self.secret("voron.key", "k3y").secret("p1s.code", "12345678").secret("notifications", "ntfys://t0ken@ntfy.example/printers")
        self.env(
            {
                "INTAGLY_TOKEN": "t0ken",
                "MAIL_PASSWORD": "pa55",
                "MK3S_API_KEY": "k3y",
                "MQTT_PASSWORD": "pa55",
                "VORON_API_KEY": "k3y",
                "P1S_ACCESS_CODE": "12345678",
            }
        )
        (path / "slicer_profiles").symlink_to(ROOT / "slicer_profiles")
        (path / "cura").mkdir()
        (path / "mail_templates").mkdir()
        self.put(EXAMPLES)

    def put(self, texts: dict[str, str]) -> "Example":
        for name, text in texts.items():
            if name == CONFIG:
                self.config(text)
            else:
                self.printer(Path(name).stem, text)
        return self

    def set_every_option(self, *, but: str) -> "Example":
        """One of the two ways to name a secret is left out: `but` is file or env."""
        other_way = re.compile(rf"^((?:token|api_key|(?:mqtt_)?password|access_code)_{but} = )", re.MULTILINE)
        return self.put({name: other_way.sub(r"#\1", NOT_SET.sub(r"\1", text)) for name, text in EXAMPLES.items()})


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example(tmp_path)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_file_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == EXAMPLES[name], "run `make example`"


def test_no_file_is_left_from_an_earlier_version() -> None:
    assert {f"printers.example/{path.name}" for path in (ROOT / "printers.example").iterdir()} == {*EXAMPLES} - {CONFIG}


def test_the_examples_load_as_they_are(example: Example) -> None:
    loaded = example.load()
    assert [market.name for market in loaded.marketplaces] == ["intagly"]
    assert [printer.name for printer in loaded.printers] == ["p1s", "voron", "mk3s", "virtual"]
    assert loaded.mqtt is None


@pytest.mark.parametrize("but", ["file", "env"])
def test_every_option_can_be_set_to_what_the_example_says(example: Example, but: str) -> None:
    loaded = example.set_every_option(but=but).load()
    assert [market.name for market in loaded.marketplaces] == ["intagly", "walk-in", "post"]
    assert loaded.mqtt is not None
    assert loaded.mqtt.password is not None
    assert loaded.mqtt.password.reveal() == "pa55"
    assert loaded.ledger.address.get_secret_value() == "postgresql+psycopg://agent@db/ledger"
    assert "ntfys://t0ken@ntfy.example/printers" in loaded.notifications.addresses


def test_an_option_that_is_not_set_shows_its_default_or_says_what_happens_without_it(example: Example) -> None:
    loaded = example.set_every_option(but="env").load()
    sections = [getattr(loaded, name) for name in Settings.model_fields if name != "marketplaces"]
    shown = 0
    for table in (*sections, *loaded.marketplaces, *loaded.printers):
        for name, field in type(table).model_fields.items():
            told = re.search("Not set: |Instead of ", field.description or "") or (field.json_schema_extra or {}).get("shown")
            if field.is_required() or told:
                continue
            default = example.path / field.default if isinstance(field.default, Path) else field.default
            assert getattr(table, name) == default, name
            shown += 1
    assert shown > 20


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_option_is_described_and_shown(table: type[Section]) -> None:
    everything = "\n".join(EXAMPLES.values())
    assert " ".join((table.__doc__ or "").split()) in everything.replace("\n# ", " ")
    for name, field in table.model_fields.items():
        assert field.description, name
        assert field.description.endswith(".") or name == "kind", f"{name}: {field.description}"
        assert re.search(rf"^#?{name} = |^#?\[\[(\w+\.)?{name}\]\]$", everything, re.MULTILINE), name


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_file_is_pleasant_to_read(name: str) -> None:
    tomllib.loads(EXAMPLES[name])
    for line in EXAMPLES[name].split("\n"):
        assert len(line) <= 100
        assert line == line.rstrip()


@pytest.mark.parametrize("word", ["superslicer", "None", "PosixPath", "Secret("])
def test_nothing_is_promised_that_is_not_there(word: str) -> None:
    assert not any(word in text for text in EXAMPLES.values())


# --- whatever is written ----------------------------------------------------------------------------------------
SPLINTERS = st.text(max_size=8) | st.sampled_from(
    [
        *('"', "'", '"""', "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "#", "\n", "\\", "\0", "\ufeff", "\u2028", "-", "é"),
        *("true", "nan", "inf", "1e999", "0x10", "-1", "9" * 30, "2026-01-01", "08:00:00", "[]", "{}", '""', "[[[]]]", '"x"', "1.5"),
        *("kind", "name", "url", "materials", "color", "mqtt", "[agent]", "[[marketplaces]]", "[[materials]]", "a.b.c = 1\n"),
        *('"~nobody/x"', f'"{"x" * 5000}"', '"\\u0000"', "[{}]", "{ kind = 1 }", '["ntfy://a/b", 5]', '"http://[::1"', '"http://h:99999"'),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """One of the example files with some lines lost, doubled, set, cut off, or with a splinter in them or in place of name or value."""
    name = draw(st.sampled_from(sorted(EXAMPLES)))
    text = NOT_SET.sub(r"\1", EXAMPLES[name]) if draw(st.booleans()) else EXAMPLES[name]
    lines = [line for line in text.split("\n") if line and not line.startswith("# ")]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        line, splinter = lines[at], draw(SPLINTERS)
        where = draw(st.integers(0, len(line)))
        option, _, value = line.partition("=")
        changes = ["", f"{line}\n{line}", line.lstrip("#"), line[:where], line[:where] + splinter + line[where:]]
        lines[at] = draw(st.sampled_from([*changes, f"{option}= {splinter}", f"{splinter} = {value}"]))
    return name, "\n".join(lines)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    change=mutated(), environ=st.dictionaries(st.sampled_from(["MQTT", "WEB__LISTEN", "MARKETPLACES", "A__B", ""]), SPLINTERS, max_size=2)
)
def test_whatever_is_written_it_loads_or_its_mistakes_are_told(example: Example, change: tuple[str, str], environ: dict[str, str]) -> None:
    name, text = change
    example.put(EXAMPLES | {name: text})
    example.environ = {f"INTAGLY_AGENT__{variable}": value for variable, value in environ.items()}
    try:
        assert isinstance(example.load(), Settings)
    except BadConfiguration as bad:
        assert bad.mistakes
        for mistake in bad.mistakes:
            assert re.match(r".+: .+: expected .+; found .+", str(mistake)), str(mistake)
            assert not re.search(r"pydantic|\{(?!file\})", mistake.expected), str(mistake)
