"""The shipped profiles are what the slicer knows, and a file with a mistake says where it is."""

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.domain.errors import ConfigError, Refused
from agent.domain.offer import Supports
from agent.domain.values import Color
from agent.slicers.profiles import Flat, Profile, ProfileLibrary, as_ini, default_profiles_dir, fingerprint
from tests.slicers.bench import SHIPPED, settings

FILES = ("machine.ini", "process.ini", "filament-PLA.ini", "filament-PETG.ini")


def ini(path: Path) -> Flat:
    """As simply as can be: another reader than the product's."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and line.lstrip()[0] not in "#;"]
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


@pytest.fixture(scope="module")
def known_to_the_slicer(tmp_path_factory: pytest.TempPathFactory) -> Flat:
    """Every key it has: it takes unknown ones without a word."""
    folder = tmp_path_factory.mktemp("save")
    command = ["prusa-slicer", "--datadir", folder / "data", "--save", folder / "all.ini"]
    subprocess.run(command, check=True, capture_output=True)
    return ini(folder / "all.ini")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A copy of a shipped profile, to make mistakes in."""
    return Path(shutil.copytree(default_profiles_dir() / "ender3", tmp_path / "profiles" / "mine"))


def load(folder: Path) -> Profile:
    return ProfileLibrary(folder.parent).profile(folder.name)


# --- the shipped ones --------------------------------------------------------------------------------------------------
def test_all_shipped_profiles_are_here() -> None:
    assert ProfileLibrary(default_profiles_dir()).names() == sorted(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_loads(name: str) -> None:
    profile = ProfileLibrary(default_profiles_dir()).profile(name)
    assert profile.name == name and profile.materials == ["PETG", "PLA"] and profile.nozzle_mm == 0.4
    assert profile.process["layer_height"] == "0.2"
    assert min(profile.bed_mm) >= 120
    for material in profile.materials:
        assert profile.limits[material].nozzle_c[0] < int(profile.filaments[material]["temperature"]) < profile.limits[material].nozzle_c[1]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", SHIPPED)
def test_the_slicer_knows_every_key(known_to_the_slicer: Flat, name: str, file: str) -> None:
    assert len(known_to_the_slicer) > 250
    assert sorted(ini(default_profiles_dir() / name / file).keys() - known_to_the_slicer.keys()) == []


@pytest.mark.parametrize("material", ["PLA", "PETG"])
@pytest.mark.parametrize("name", SHIPPED)
def test_the_slicer_takes_a_flat_profile_as_it_is(tmp_path: Path, name: str, material: str) -> None:
    """Every value comes back unchanged, so that the proof can ask for exactly these."""
    order = settings(
        material=material, layer_height_mm=0.16, infill_percent=100, supports=Supports.YES, color=Color(name="x", hex="#00ff00")
    )
    flat = ProfileLibrary(default_profiles_dir()).profile(name).flat(order)
    (tmp_path / "flat.ini").write_text(as_ini(flat))
    command = ["prusa-slicer", "--datadir", "data", "--load", "flat.ini", "--save", "back.ini"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    back = ini(tmp_path / "back.ini")
    assert {key: back.get(key) for key in flat} == flat


# --- flattening --------------------------------------------------------------------------------------------------------
def test_later_layers_win_printer_process_filament_order(mine: Path) -> None:
    for file, extra in (
        ("machine.ini", "notes = machine\nprinter_notes = machine\n"),
        ("process.ini", "notes = process\nfill_density = 7%\n"),
        ("filament-PLA.ini", "notes = filament\nskirts = 5\nfill_density = 8%\n"),
    ):
        (mine / file).write_text((mine / file).read_text() + extra)
    flat = load(mine).flat(settings(infill_percent=33))
    assert [flat[key] for key in ("printer_notes", "notes", "skirts", "fill_density")] == ["machine", "filament", "5", "33%"]
    assert load(mine).flat(settings(material="PETG"))["notes"] == "process"


def test_what_the_order_decides(mine: Path) -> None:
    profile = load(mine)
    plain = profile.flat(settings(infill_percent=0, supports=Supports.NO))
    assert (plain["fill_density"], plain["support_material"], plain["fill_pattern"]) == ("0%", "0", "gyroid")
    assert "filament_colour" not in plain and plain["layer_height"] == "0.2" and plain["filament_type"] == "PLA"
    full = profile.flat(
        settings(infill_percent=100, supports=Supports.OPERATOR, material="petg", layer_height_mm=0.1, color=Color(name="r", hex="#aa00ff"))
    )
    assert (full["fill_density"], full["support_material"], full["fill_pattern"]) == ("100%", "1", "rectilinear")
    assert (full["filament_colour"], full["layer_height"], full["filament_type"]) == ("#AA00FF", "0.1", "PETG")
    assert full["temperature"] == profile.filaments["PETG"]["temperature"]


def test_labels_cannot_be_switched_off_by_a_profile(mine: Path) -> None:
    process = mine / "process.ini"
    process.write_text(process.read_text().replace("gcode_label_objects = 1", "gcode_label_objects = 0"))
    assert load(mine).flat(settings())["gcode_label_objects"] == "1"


def test_the_fingerprint_changes_with_every_value(mine: Path) -> None:
    flat = load(mine).flat(settings())
    changed = [fingerprint(flat | {key: value + "1"}) for key, value in flat.items()]
    assert len({fingerprint(flat), *changed}) == len(flat) + 1
    assert fingerprint(dict(reversed(flat.items()))) == fingerprint(flat)


def test_a_material_is_found_in_any_spelling_or_refused(mine: Path) -> None:
    assert load(mine).material("petg") == "PETG"
    with pytest.raises(Refused, match=r"no settings for TPU \(it has PETG, PLA\)") as refused:
        load(mine).material("TPU")
    assert refused.value.code == "no_profile" and "filament-TPU.ini" in refused.value.hint


def test_a_bed_that_does_not_begin_at_zero(mine: Path) -> None:
    change(mine / "machine.ini", "bed_shape", "-100x-50,100x-50,100x50,-100x50")
    assert load(mine).bed_mm == (200, 100, 250) and load(mine).bed_x_mm == (-100, 100)


# --- mistakes ----------------------------------------------------------------------------------------------------------
def change(path: Path, key: str, value: str) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"{key} = {value}" if line.startswith(f"{key} =") else line for line in lines) + "\n")


def line_of(path: Path, key: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(key))


@pytest.mark.parametrize(
    ("file", "key", "value", "why"),
    [
        ("machine.ini", "nozzle_diameter", "wide", "is no number above 0"),
        ("machine.ini", "nozzle_diameter", "0", "is no number above 0"),
        ("machine.ini", "max_print_height", "-1", "is no number above 0"),
        ("machine.ini", "max_print_height", "nan", "is no number above 0"),
        ("machine.ini", "min_layer_height", "thin", "is no number of at least 0"),
        ("machine.ini", "bed_shape", "0x0,10x10", "is no rectangle"),
        ("machine.ini", "bed_shape", "0x0,220x0,110x220", "is no rectangle"),
        ("machine.ini", "bed_shape", "round", "is no rectangle"),
        ("machine.ini", "bed_shape", "0x0,220x0,220x220,0x220,110x230", "is no rectangle"),
        ("process.ini", "layer_height", "0", "is no number above 0"),
        ("process.ini", "first_layer_height", "", "is no number above 0"),
        ("filament-PLA.ini", "temperature", "280", r"is outside 185…235 °C"),
        ("filament-PLA.ini", "bed_temperature", "10", r"is outside 40…70 °C"),
        ("filament-PETG.ini", "first_layer_temperature", "hot", "is no number above 0"),
        ("filament-PETG.ini", "filament_diameter", "none", "is no number above 0"),
    ],
)
def test_a_value_that_cannot_be_names_its_file_and_line(mine: Path, file: str, key: str, value: str, why: str) -> None:
    line = line_of(mine / file, key)
    change(mine / file, key, value)
    with pytest.raises(ConfigError, match=why) as error:
        load(mine)
    assert str(error.value).startswith(f"{mine / file}:{line}: {key} = {value}") and error.value.hint


@pytest.mark.parametrize("line", ["no sign", "Layer Height = 0.2", "= 5", "9lives = 1", "key-with-dash = 2"])
def test_a_line_that_is_no_setting(mine: Path, line: str) -> None:
    (mine / "process.ini").write_text(f"# mine\n\n{line}\n" + (mine / "process.ini").read_text())
    with pytest.raises(ConfigError, match=r"is no 'key = value' line") as error:
        load(mine)
    assert str(error.value).startswith(f"{mine / 'process.ini'}:3: '{line}'")


def test_a_key_that_is_set_twice(mine: Path) -> None:
    (mine / "process.ini").write_text("layer_height = 0.3\n" + (mine / "process.ini").read_text())
    with pytest.raises(ConfigError, match=r"process\.ini:3: layer_height is set twice, first in line 1"):
        load(mine)


@pytest.mark.parametrize(
    ("file", "key"), [("machine.ini", "bed_shape"), ("process.ini", "layer_height"), ("filament-PLA.ini", "bed_temperature")]
)
def test_a_key_that_is_missing(mine: Path, file: str, key: str) -> None:
    lines = (mine / file).read_text().splitlines()
    (mine / file).write_text("\n".join(line for line in lines if not line.startswith(f"{key} =")))
    with pytest.raises(ConfigError, match=rf"{file}: {key} is missing"):
        load(mine)


@pytest.mark.parametrize("file", ["machine.ini", "process.ini"])
def test_a_file_that_is_missing_or_no_text(mine: Path, file: str) -> None:
    (mine / file).write_bytes(b"# fine\n\xff\xfe = 1\n")
    with pytest.raises(ConfigError, match=rf"{file}:2: this is not UTF-8 text"):
        load(mine)
    (mine / file).unlink()
    with pytest.raises(ConfigError, match=rf"{file} is missing"):
        load(mine)
    (mine / file).mkdir()
    with pytest.raises(ConfigError, match=rf"{file} cannot be read: Is a directory"):
        load(mine)


def test_a_filament_without_temperatures_and_temperatures_without_a_filament(mine: Path) -> None:
    (mine / "filament-PETG.ini").rename(mine / "filament-ABS.ini")
    with pytest.raises(ConfigError, match=r"the filament files \(ABS, PLA\) and \[materials\] of profile.toml \(PLA, PETG\) differ"):
        load(mine)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title = x\n", r"profile\.toml: .*line 1"),
        ("title = 'x'\n", r"profile\.toml: \[materials\.<MATERIAL>\] with nozzle_c and bed_c is missing"),
        ("materials = 5\n", r"\[materials\.<MATERIAL>\]"),
        ("[materials]\nPLA = 5\n", r"\[materials\.PLA\] nozzle_c = None is not \[lowest, highest\]"),
        ("[materials.PLA]\nnozzle_c = [200]\nbed_c = [1, 2]\n", r"nozzle_c = \[200\] is not"),
        ("[materials.PLA]\nnozzle_c = [230, 200]\nbed_c = [1, 2]\n", r"nozzle_c = \[230, 200\] is not"),
        ("[materials.PLA]\nnozzle_c = [180, 'hot']\nbed_c = [1, 2]\n", r"nozzle_c = \[180, 'hot'\] is not"),
        ("[materials.PLA]\nnozzle_c = [180, 200]\nbed_c = '60'\n", r"bed_c = 60 is not"),
    ],
)
def test_a_profile_toml_with_a_mistake(mine: Path, text: str, why: str) -> None:
    (mine / "profile.toml").write_text(text)
    with pytest.raises(ConfigError, match=why):
        load(mine)


@pytest.mark.parametrize("name", ["nothing", "../mine", "", "mine/.."])
def test_a_profile_that_is_not_there(mine: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="There is no slicer profile") as error:
        ProfileLibrary(mine.parent).profile(name)
    assert "mine" in error.value.hint


def test_no_folder_of_profiles_at_all(tmp_path: Path) -> None:
    assert ProfileLibrary(tmp_path / "nowhere").names() == []
