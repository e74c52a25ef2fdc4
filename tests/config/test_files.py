"""Files that cannot be read, and two of something that must be one: told like every other mistake."""

import shutil

import pytest

from tests.config.folder import HOT, MARKETPLACE, OCTOPRINT, VIRTUAL, Folder


def test_a_file_that_is_not_there_is_told_with_the_printers_mistakes(folder: Folder) -> None:
    (folder.path / "config.toml").unlink()
    folder.printer("a", VIRTUAL + "speed = 0\n")
    assert folder.told() == [
        "config.toml: the file: expected a file that can be read; found No such file or directory",
        "printers/a.toml, line 4: speed: expected more than 0; found 0",
    ]


def test_a_folder_in_place_of_a_file_is_told(folder: Folder) -> None:
    (folder.path / "printers" / "a.toml").mkdir(parents=True)
    assert folder.told() == ["printers/a.toml: the file: expected a file that can be read; found Is a directory"]


def test_a_link_that_leads_nowhere_is_told_and_not_taken_for_no_printer(folder: Folder) -> None:
    (folder.path / "printers").mkdir()
    (folder.path / "printers" / "a.toml").symlink_to("gone.toml")
    assert folder.told() == ["printers/a.toml: the file: expected a file that can be read; found No such file or directory"]


def test_a_file_in_place_of_the_folder_of_printers_is_told(folder: Folder) -> None:
    (folder.path / "printers").touch()
    (told,) = folder.told()
    assert "[agent] printers_dir: expected the folder with the printers' files (printers); found Not a directory" in told


def test_a_file_of_two_megabytes_is_not_read(folder: Folder) -> None:
    folder.config(b"# " + b"x" * 2 * 1024 * 1024)
    assert folder.told() == ["config.toml: the file: expected a file of at most 1 MB; found a bigger one"]


@pytest.mark.parametrize("content", [b'a = 1\nname = "M\xfcller"\n', "\na = 1".encode("utf-16")])
def test_a_file_in_another_encoding_is_told_with_its_line(folder: Folder, content: bytes) -> None:
    line = 1 + content.startswith(b"a")
    assert folder.config(content).told() == [f"config.toml, line {line}: the file: expected text in UTF-8; found another encoding"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[agent]\nname = garage\n", ", line 2: column 8: expected TOML; found Invalid value"),
        ("[agent\n", ", line 1: column 7: expected TOML; found Expected ']' at the end of a table declaration"),
        ("a = 1\na = 2\n", ", line 2: column 6: expected TOML; found Cannot overwrite a value"),
        ('a = "', ": the file: expected TOML; found Unterminated string"),
        (f"a = {'[' * 5000}", ": the file: expected TOML; found maximum recursion depth exceeded"),
        (f"a = {'9' * 5000}", ": the file: expected TOML; found Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
def test_a_mistake_in_the_toml_is_told_with_line_and_column(folder: Folder, text: str, told: str) -> None:
    (line,) = folder.config(text).told()
    assert line.startswith(f"config.toml{told}")


def test_many_levels_are_no_way_to_bring_the_agent_down(folder: Folder) -> None:
    assert folder.config(f"{'.'.join('a' * 5000)} = 1\n").mistakes()


def test_printers_are_not_looked_for_where_their_folder_is_no_path(folder: Folder) -> None:
    folder.config("[agent]\nprinters_dir = 5\n").printer("a", VIRTUAL + "speed = 0\n")
    assert folder.told() == ["config.toml, line 2: [agent] printers_dir: expected a path; found 5"]


def test_a_configuration_that_is_mended_loads(folder: Folder) -> None:
    folder.config("[slicing]\nworkers = 0\n").printer("a", VIRTUAL + "speed = 0\n")
    assert len(folder.mistakes()) == 2
    folder.config("[slicing]\nworkers = 1\n").printer("a", VIRTUAL + "speed = 1\n")
    assert folder.load().printers[0].name == "v"
    shutil.rmtree(folder.path / "printers")
    assert folder.load().printers == []


# --- two of what must be one ------------------------------------------------------------------------------------
def test_two_printers_have_two_names_in_any_case(folder: Folder) -> None:
    folder.printer("a", VIRTUAL).printer("b", VIRTUAL.replace('"v"', '"V"'))
    assert folder.told() == ['printers/b.toml, line 1: name: expected another name than in a.toml; found "V"']


@pytest.mark.parametrize(
    "url", ["http://octopi.local/", "http://octopi.local:80", "HTTP://OctoPi.local", "http://octopi.local.", "https://octopi.local:443/"]
)
def test_one_machine_is_one_printer_however_it_is_written(folder: Folder, url: str) -> None:
    folder.printer("a", 'name = "a"\n' + OCTOPRINT).printer("b", 'name = "b"\n' + OCTOPRINT.replace("http://octopi.local", url))
    (told,) = folder.told()
    assert told == f'printers/b.toml, line 3: url: expected another url than in a.toml; found "{url}"'


@pytest.mark.parametrize("url", ["http://octopi.local:5000", "http://octopi.local/second", "http://octopi2.local"])
def test_two_machines_are_two_printers(folder: Folder, url: str) -> None:
    folder.printer("a", 'name = "a"\n' + OCTOPRINT).printer("b", 'name = "b"\n' + OCTOPRINT.replace("http://octopi.local", url))
    assert folder.told() == []


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (HOT.replace('"w"', '"Intagly"'), 'line 8: [[marketplaces]] no. 2, name: expected a name of its own; found "Intagly"'),
        (
            MARKETPLACE.replace('"intagly"', '"b"').replace("/v1", "/v1/"),
            "line 9: [[marketplaces]] no. 2, url: expected another address, or another token than no. 1; "
            'found "https://market.example/v1/"',
        ),
        (
            HOT + HOT.replace('"w"', '"b"').replace("inbox", "./inbox"),
            'line 13: [[marketplaces]] no. 3, path: expected another folder than no. 2; found "./inbox"',
        ),
    ],
)
def test_one_source_of_orders_under_two_names_would_print_everything_twice(folder: Folder, second: str, told: str) -> None:
    assert folder.config(MARKETPLACE + second).told() == [f"config.toml, {told}"]


def test_without_any_profile_that_is_what_is_told(folder: Folder) -> None:
    (folder.path / "mine").mkdir()
    folder.config('[slicing]\nprofiles_dir = "mine"\n').printer("a", VIRTUAL)
    assert folder.told() == ['printers/a.toml, line 3: profile: expected a profile, of which there are none in mine; found "ender3"']
