"""Mistakes are told all at once, each with its place, what was expected, what was found and what was probably meant."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.mistakes import BadConfiguration, Mistake
from agent.config.places import line_of, lines_of, place
from agent.domain.errors import ConfigError
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir
from tests.config.folder import HOT, MARKETPLACE, VIRTUAL, Folder

NAME = "a name of up to 64 letters, digits, '.', '_' and '-'"
HOURS = 'hours such as "08:00-22:00"'
SECTIONS = (
    "one of agent, ledger, marketplaces, acceptance, online, schedule, slicing, printing, files, retention, backup, labels, supplies, "
    "costs, web, metrics, mqtt, "
    "notifications"
)

IN_CONFIG = {
    "unknown section": (
        "[agnet]\n",
        f"line 1: agnet: expected {SECTIONS}; found an unknown option — did you mean agent?",
    ),
    "unknown option": (
        "[slicing]\nwokers = 2\n",
        "line 2: [slicing] wokers: expected one of workers, timeout_s, memory_mb, orient, prusaslicer, curaengine, "
        "cura_definitions, orcaslicer, bambustudio, profiles_dir; found an unknown option — did you mean workers?",
    ),
    "not like any": (
        "[web]\nzzz = 2\n",
        "line 2: [web] zzz: expected one of listen, url, certificate_file, key_file, trusted_proxies; found an unknown option",
    ),
    "missing": ("[mqtt]\nport = 1\n", "line 1: [mqtt] host: expected this option; found nothing"),
    "no whole number": ("[slicing]\nworkers = 1.5\n", "line 2: [slicing] workers: expected a whole number; found 1.5"),
    "no number": ('[slicing]\ntimeout_s = "long"\n', 'line 2: [slicing] timeout_s: expected a number; found "long"'),
    "true for a number": ("[slicing]\nworkers = true\n", "line 2: [slicing] workers: expected a number; found true"),
    "not finite": ("[slicing]\ntimeout_s = nan\n", "line 2: [slicing] timeout_s: expected a number; found nan"),
    "endless": ("[slicing]\ntimeout_s = inf\n", "line 2: [slicing] timeout_s: expected a number; found a very big number"),
    "too small": ("[slicing]\nworkers = 0\n", "line 2: [slicing] workers: expected at least 1; found 0"),
    "too big": ("[mqtt]\nhost = 'a'\nport = 65536\n", "line 3: [mqtt] port: expected at most 65535; found 65536"),
    "far too big": (
        f"[slicing]\nmemory_mb = {'9' * 40}\n", "line 2: [slicing] memory_mb: expected at most 1048576; found a very big number"
    ),
    "not more": ("[acceptance]\nlongest_print_h = 0\n", "line 2: [acceptance] longest_print_h: expected more than 0; found 0"),
    "no yes or no": (
        '[acceptance]\nask_about_instructions = "perhaps"\n',
        'line 2: [acceptance] ask_about_instructions: expected true or false; found "perhaps"',
    ),
    "no choice": (
        '[acceptance]\nmode = "aks"\n',
        'line 2: [acceptance] mode: expected "auto" or "ask" or "off"; found "aks" — did you mean ask?',
    ),
    "no choice in a list": (
        '[acceptance]\nsupports = ["no", "never"]\n',
        'line 2: [acceptance] supports no. 2: expected "no" or "yes" or "operator"; found "never"',
    ),
    "no text": ("[slicing]\nprusaslicer = 5\n", "line 2: [slicing] prusaslicer: expected text in quotes; found 5"),
    "empty text": ('[slicing]\nprusaslicer = ""\n', 'line 2: [slicing] prusaslicer: expected text of at least 1 characters; found ""'),
    "long text": (f'[mqtt]\nhost = "{"h" * 254}"\n', f'line 2: [mqtt] host: expected text of at most 253 characters; found "{"h" * 60}…"'),
    "no list": ('[acceptance]\nhours = "8"\n', "line 2: [acceptance] hours: expected a list in square brackets; found text"),
    "empty list": ("[acceptance]\nsupports = []\n", "line 2: [acceptance] supports: expected at least 1 in the list; found a list"),
    "no table": ('mqtt = "broker"\n', "line 1: mqtt: expected a table; found text"),
    "tables for a value": ("[agent.name]\nx = 1\n", f"line 1: [agent] name: expected {NAME}; found a table"),
    "no name": ('[agent]\nname = "my shop"\n', f'line 2: [agent] name: expected {NAME}; found "my shop"'),
    "a date": ("[agent]\nname = 2026-01-01\n", f"line 2: [agent] name: expected {NAME}; found date"),
    "no path": ('[agent]\ndata_dir = ""\n', 'line 2: [agent] data_dir: expected a path; found ""'),
    "nobody's home": (
        '[agent]\ndata_dir = "~nobody-of-that-name/x"\n',
        'line 2: [agent] data_dir: expected a path without ~: the home directory is not known; found "~nobody-of-that-name/x"',
    ),
    "no host and port": ('[web]\nlisten = "8410"\n', 'line 2: [web] listen: expected host:port, such as 127.0.0.1:8410; found "8410"'),
    "no money": (
        "[acceptance]\nmin_payout = 5\n",
        'line 2: [acceptance] min_payout: expected an amount and a currency, such as "5.00 EUR"; found 5',
    ),
    "no hours": ('[acceptance]\nhours = ["8-22"]\n', f'line 2: [acceptance] hours no. 1: expected {HOURS}; found "8-22"'),
    "no time at all": (
        '[acceptance]\nhours = ["08:00-08:00"]\n',
        f'line 2: [acceptance] hours no. 1: expected {HOURS} that end at another time than they begin; found "08:00-08:00"',
    ),
    "more than most": (
        "[acceptance]\ninfill_min_percent = 50\ninfill_max_percent = 40\n",
        "line 3: [acceptance] infill_max_percent: expected at least infill_min_percent, which is 50; found 40",
    ),
    "a ledger that forgets": (
        '[ledger]\nurl = "sqlite:///:memory:"\n',
        "line 2: [ledger] url: expected sqlite:////absolute/path/ledger.sqlite3 or postgresql+psycopg://user@host/database; "
        "found (not shown)",
    ),
    "no folder of profiles": (
        '[slicing]\nprofiles_dir = "/nowhere"\n',
        'line 2: [slicing] profiles_dir: expected a folder that is there (/nowhere); found "/nowhere"',
    ),
    "no folder of printers": (
        '[agent]\nprinters_dir = "/nowhere"\n',
        "line 2: [agent] printers_dir: expected the folder with the printers' files (/nowhere); found No such file or directory",
    ),
    "no kind": (
        "[[marketplaces]]\n[[marketplaces]]\nname = 'a'\n" + HOT,
        'line 1: [[marketplaces]] no. 1, kind: expected kind = "operator_api" or kind = "hot_folder" or kind = "mailbox"; found nothing',
        'line 2: [[marketplaces]] no. 2, kind: expected kind = "operator_api" or kind = "hot_folder" or kind = "mailbox"; found nothing',
    ),
    "a kind of no version": (
        HOT.replace("hot_folder", "hotfolder"),
        'line 2: [[marketplaces]] no. 1, kind: expected "operator_api" or "hot_folder" or "mailbox"; '
        'found "hotfolder" — did you mean hot_folder?',
    ),
    "an option of another kind": (
        HOT + 'poll_interval = 5\n',
        "line 5: [[marketplaces]] no. 1, poll_interval: expected one of kind, name, path, still_s, material, color, infill_percent, "
        "supports, accept_within_s; found an unknown option",
    ),
    "no marketplace": ("marketplaces = [5]\n", "line 1: [[marketplaces]] no. 1: expected a table; found 5"),
    "no colour": (
        HOT + 'color = { name = "red", hex = "red" }\n',
        'line 5: [[marketplaces]] no. 1, color.hex: expected a colour such as "#1a1a1a"; found "red"',
    ),
    "no address": (
        MARKETPLACE.replace("https://", "ftp://"),
        "line 4: [[marketplaces]] no. 1, url: expected an address such as https://host/path, without user name and password; "
        'found "ftp://market.example/v1"',
    ),
    "no token": (
        MARKETPLACE.replace('token_file = "secrets/token"\n', ""),
        "line 1: [[marketplaces]] no. 1, token_env: expected token_file or token_env; found nothing",
    ),
    "two tokens": (
        MARKETPLACE + 'token_env = "TOKEN"\n',
        'line 6: [[marketplaces]] no. 1, token_env: expected token_file or token_env, not both; found "TOKEN"',
    ),
    "a topic that is none": (
        '[notifications]\nurls = ["ntfy://host/a/b"]\n',
        "line 2: [notifications] urls no. 1: expected an address that works (an ntfy address has the form ntfy://host/topic, "
        "ntfys://host/topic (https) or ntfys://token@host/topic — a topic is up to 64 letters, digits, - and _); found (not shown)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_CONFIG)
def test_a_mistake_in_the_agents_file_is_told(folder: Folder, name: str) -> None:
    text, *told = IN_CONFIG[name]
    folder.env({"TOKEN": "t"}).config(text)
    assert folder.told() == [f"config.toml, {line}" for line in told]


IN_PRINTER = {
    "unknown option": (
        VIRTUAL + "sped = 5\n",
        ", line 4: sped: expected one of name, profile, slicer, bed_clearing, bed_cool_c, power_w, materials, kind, speed; "
        "found an unknown option — did you mean speed?",
    ),
    "the secret itself": (
        'name = "a"\nkind = "octoprint"\nurl = "http://a"\nprofile = "ender3"\napi_key = "5up3r"\n',
        ": api_key_env: expected api_key_file or api_key_env; found nothing",
        ", line 5: api_key: expected one of name, profile, slicer, bed_clearing, bed_cool_c, power_w, materials, kind, url, api_key_file, "
        "api_key_env, snapshot_url; "
        "found an unknown option — did you mean api_key_file?",
    ),
    "no kind": (
        'name = "a"\nprofile = "ender3"\n',
        ': kind: expected kind = "octoprint" or kind = "moonraker" or kind = "bambu" or kind = "virtual"; found nothing',
    ),
    "a kind of no version": (
        VIRTUAL.replace("virtual", "bamboo"),
        ', line 2: kind: expected "octoprint" or "moonraker" or "bambu" or "virtual"; found "bamboo" — did you mean bambu?',
    ),
    "a slicer that is none": (
        VIRTUAL + 'slicer = "orcaslicers"\n',
        ', line 4: slicer: expected "prusaslicer" or "curaengine" or "orcaslicer" or "bambustudio"; '
        'found "orcaslicers" — did you mean orcaslicer?',
    ),
    "a bed that does what": (
        VIRTUAL + 'bed_clearing = "auto"\n',
        ', line 4: bed_clearing: expected "confirm" or "automatic"; found "auto" — did you mean automatic?',
    ),
    "no such profile": (
        VIRTUAL.replace("ender3", "ender-3"),
        f", line 3: profile: expected one of {', '.join(ProfileLibrary(default_profiles_dir()).names())}; "
        'found "ender-3" — did you mean ender3?',
    ),
    "in the second spool": (
        VIRTUAL + '[[materials]]\nmaterial = "PLA"\ncolor = "red"\n[[materials]]\nmaterial = ""\nremaining_g = -1\n',
        ", line 7: [[materials]] no. 2, color: expected this option; found nothing",
        ', line 8: [[materials]] no. 2, material: expected text of at least 1 characters; found ""',
        ", line 9: [[materials]] no. 2, remaining_g: expected at least 0; found -1",
    ),
}


@pytest.mark.parametrize("name", IN_PRINTER)
def test_a_mistake_in_a_printers_file_is_told(folder: Folder, name: str) -> None:
    text, *told = IN_PRINTER[name]
    assert folder.printer("a", text).told() == [f"printers/a.toml{line}" for line in told]


def test_all_mistakes_of_all_files_are_told_at_once_file_by_file_and_from_top_to_bottom(folder: Folder) -> None:
    folder.config("[slicing]\nworkers = 0\n[mqtt]\n[agent]\nnam = 1\n")
    folder.printer("a", 'name = "v"\nkind = "virtual"\n').printer("b", VIRTUAL + "speed = 0\n").printer("c", "no toml")
    folder.env({"INTAGLY_AGENT__WEB__LISTEN": "here"}).command_line({"slicing.timeout_s": "0"})
    places = [(Path(mistake.file).name, mistake.place, mistake.line) for mistake in folder.mistakes()]
    assert places == [
        ("config.toml", "[slicing] workers", 2),
        ("config.toml", "[mqtt] host", 3),
        ("config.toml", "[agent] nam", 5),
        ("command line", "slicing.timeout_s", None),
        ("environment", "INTAGLY_AGENT__WEB__LISTEN", None),
        ("a.toml", "profile", None),
        ("b.toml", "name", 1),
        ("b.toml", "speed", 4),
        ("c.toml", "column 4", 1),
    ]


def test_a_bad_configuration_is_one_error_with_all_of_it_and_the_way_out(folder: Folder) -> None:
    folder.config("[slicing]\nworkers = 0\ntimeout_s = 0\n")
    with pytest.raises(ConfigError) as bad:
        folder.load()
    assert isinstance(bad.value, BadConfiguration)
    first, *rest = bad.value.told().split("\n")
    assert first == "2 mistakes in the configuration:"
    assert len(rest) == 3
    assert rest[-1] == "config.example.toml and printers.example/ show every option"
    assert bad.value.__context__ is None, "pydantic's own error holds what was read"


# --- environment and command line -------------------------------------------------------------------------------
VARIABLES = {
    "unknown section": (
        {"INTAGLY_AGENT__AGNET__NAME": "x"},
        f"INTAGLY_AGENT__AGNET__NAME: expected {SECTIONS}; found an unknown option — did you mean agent?",
    ),
    "unknown option": (
        {"INTAGLY_AGENT__WEB__LISTN": "x"},
        "INTAGLY_AGENT__WEB__LISTN: expected one of listen, url, certificate_file, key_file, trusted_proxies; "
        "found an unknown option — did you mean listen?",
    ),
    "no option": (
        {"INTAGLY_AGENT__AGENT": "x"},
        "INTAGLY_AGENT__AGENT: expected a table; found text",
    ),
    "deeper than options go": (
        {"INTAGLY_AGENT__AGENT__NAME__FIRST": "x"},
        f"INTAGLY_AGENT__AGENT__NAME__FIRST: expected {NAME}; found a table",
    ),
    "both a whole and its parts": (
        {"INTAGLY_AGENT__AGENT": "x", "INTAGLY_AGENT__AGENT__NAME": "x"},
        "INTAGLY_AGENT__AGENT: expected a table; found text",
        "INTAGLY_AGENT__AGENT__NAME: expected either the whole of agent or its options, not both; found something else",
    ),
    "a whole, and a part that goes over it": (
        {"INTAGLY_AGENT__MQTT": "{ port = 1 }", "INTAGLY_AGENT__MQTT__PORT": "0"},
        "INTAGLY_AGENT__MQTT, [mqtt] host: expected this option; found nothing",
        "INTAGLY_AGENT__MQTT__PORT: expected at least 1; found \"0\"",
    ),
    "one of a list": (
        {"INTAGLY_AGENT__MARKETPLACES__0__NAME": "x"},
        "INTAGLY_AGENT__MARKETPLACES__0__NAME: expected a list in square brackets; found a table",
    ),
    "a list with a mistake": (
        {"INTAGLY_AGENT__ACCEPTANCE__HOURS": "[08:00-22:00]"},
        "INTAGLY_AGENT__ACCEPTANCE__HOURS: expected a list in square brackets; found text",
    ),
    "inside a list": (
        {"INTAGLY_AGENT__MARKETPLACES": '[{ kind = "hot_folder", name = "w" }]'},
        "INTAGLY_AGENT__MARKETPLACES, [[marketplaces]] no. 1, path: expected this option; found nothing",
    ),
    "the rest of a section": (
        {"INTAGLY_AGENT__MQTT__PORT": "1883"},
        "[mqtt] host: expected this option; found nothing",
    ),
    "no name at all": ({"INTAGLY_AGENT__": "x"}, f"INTAGLY_AGENT__: expected {SECTIONS}; found an unknown option"),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIABLES)
def test_a_mistake_in_the_environment_is_told_of_the_variable(folder: Folder, name: str) -> None:
    variables, *told = VARIABLES[name]
    folder.config(MARKETPLACE + "[slicing]\nworkers = 2\n")
    assert sorted(folder.env(variables).told()) == [f"environment: {line}" for line in told]


def test_what_overrides_a_mistake_mends_it_and_what_lies_beside_it_stays_the_files(folder: Folder) -> None:
    folder.config("[slicing]\nworkers = 0\ntimeout_s = 0\n")
    folder.env({"INTAGLY_AGENT__SLICING": "{ workers = 2 }"})
    assert folder.told() == ["config.toml, line 3: [slicing] timeout_s: expected at least 1; found 0"]


def test_a_mistake_on_the_command_line_is_told_of_its_option(folder: Folder) -> None:
    folder.command_line({"slicing.workers": "none", "mqqt.host": "h"})
    told = folder.told()
    assert told[0] == 'command line: slicing.workers: expected a whole number; found "none"'
    assert told[1].startswith("command line: mqqt.host: expected one of agent")
    assert told[1].endswith("did you mean mqtt?")


# --- how a mistake is told --------------------------------------------------------------------------------------
@settings(deadline=None)
@given(key=st.text(min_size=1, max_size=30), value=st.text(max_size=100))
def test_whatever_is_written_a_mistake_is_one_line(key: str, value: str) -> None:
    mistake = Mistake("/etc/config.toml", place(("agent", key)), "a name", value)
    assert len(str(mistake).splitlines()) == 1
    assert str(mistake).isprintable()


def test_lines_are_counted_as_toml_counts_them() -> None:
    text = "# a\u2028b\x85\n[one]\nx = 1\n  [[two]]\n[[two]]\n y.z = 1 \n[two.three]\nq = 1\n['four' . \"five\"]\nr=2\n"
    lines = lines_of(text)
    assert line_of(lines, ("one", "x")) == 3
    assert line_of(lines, ("two", 1, "y", "z")) == 6
    assert line_of(lines, ("two", 1, "three", "q", "deeper")) == 8
    assert line_of(lines, ("four", "five", "r")) == 10
    assert line_of(lines, ("one", "not there")) == 2
    assert line_of(lines, ("elsewhere",)) is None
