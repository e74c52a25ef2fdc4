"""The shipped profiles are what the slicer knows, and a file with a mistake says where it is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.config.load import load as load_config
from agent.domain.errors import ConfigError, Refused
from agent.domain.offer import Supports
from agent.domain.values import Color
from agent.printers.bambu.access import MODEL_IDS
from agent.slicers.profiles import ORDER_KEYS, Flat, Profile, ProfileLibrary, default_profiles_dir, fingerprint
from agent.wiring import build_printers
from tests.slicers.bench import LAYERS_MM, LIBRARY, SHIPPED, settings

FILES = [(name, path.name) for name in SHIPPED for path in sorted((default_profiles_dir() / name).glob("*.ini")) if path.name != "cura.ini"]
KLIPPER_LIFTS_TO_MM = {"generic-klipper": 180, "voron-v0": 120, "voron-v2.4-300": 250}
"""As high as these machines can go (a Trident 250 mm, a 2.4 a little more). Marlin stops there; Klipper ends the print with an error."""
COORDINATE = re.compile(r"([XYZ])(-?[\d.]+)")


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
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_loads(name: str) -> None:
    profile = LIBRARY.profile(name)
    assert profile.name == name and {"PLA", "PETG", "TPU"} <= set(profile.materials) and profile.nozzle_mm == 0.4
    assert ("ABS" in profile.materials) == ("ASA" in profile.materials)
    assert profile.process["layer_height"] == profile.process["first_layer_height"] == "0.2"
    assert min(profile.bed_mm) >= 115
    for material in profile.materials:
        assert profile.limits[material].nozzle_c[0] < int(profile.filaments[material]["temperature"]) < profile.limits[material].nozzle_c[1]
    least, most = profile.layer_heights_mm
    assert least <= min(LAYERS_MM) and max(LAYERS_MM) <= most


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_says_what_it_is_and_the_docs_name_it(name: str) -> None:
    profile = LIBRARY.profile(name)
    assert profile.title and "not seen on hardware" in profile.proven
    assert ("CuraEngine" in profile.proven) == ("curaengine" in profile.slicers)
    assert f"`{name}`" in (Path(__file__).parents[2] / "docs" / "slicers.md").read_text()


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("bambu-")])
def test_the_adapter_packs_what_is_sliced_for_a_bambu_printer(name: str) -> None:
    """It sends only to the model that the G-code names; CuraEngine's names none."""
    profile = LIBRARY.profile(name)
    assert profile.machine["printer_model"] in MODEL_IDS and profile.slicers == ("prusaslicer",)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in ("bambu-p1s", "bambu-x1c")])
def test_start_and_end_code_stay_on_the_bed(name: str) -> None:
    """But for two Prusas, which prime or wipe on the strip before it. P1S and X1C purge at the chute behind the bed."""
    profile = LIBRARY.profile(name)
    room = {"X": (min(0, profile.bed_x_mm[0]), profile.bed_x_mm[1]), "Y": profile.bed_y_mm, "Z": (0, profile.bed_mm[2])}
    if name == "prusa-mk3s":
        room["Y"] = (-4, room["Y"][1])
    moves = [*absolute_moves(profile.machine["start_gcode"]), *absolute_moves(profile.machine["end_gcode"])]
    for line in moves:
        for axis, at in COORDINATE.findall(line):
            assert room[axis][0] <= float(at) <= room[axis][1], line


@pytest.mark.parametrize("name", KLIPPER_LIFTS_TO_MM)
def test_the_lift_at_the_end_of_the_tallest_part_is_no_error_to_klipper(name: str) -> None:
    profile = LIBRARY.profile(name)
    relative = profile.machine["end_gcode"].partition("G90")[0]
    (lift,) = [float(at) for axis, at in COORDINATE.findall(relative) if axis == "Z"]
    assert profile.bed_mm[2] + float(profile.machine["retract_lift"]) + lift <= KLIPPER_LIFTS_TO_MM[name]


def absolute_moves(code: str) -> list[str]:
    lines = code.replace(r"\n", "\n").partition("G91\n")
    after = lines[2].partition("G90\n")[2]
    return [line for line in (lines[0] + after).splitlines() if re.match(r"G[01] ", line)]


@pytest.mark.parametrize(("name", "file"), FILES)
def test_the_slicer_knows_every_key(known_to_the_slicer: Flat, name: str, file: str) -> None:
    assert len(known_to_the_slicer) > 250
    assert sorted(ini(default_profiles_dir() / name / file).keys() - known_to_the_slicer.keys()) == []


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


def test_every_key_has_one_origin_and_the_order_decides_the_rest(mine: Path) -> None:
    profile = load(mine)
    full = settings(material="TPU", infill_percent=100, layer_height_mm=0.12, color=Color(name="r", hex="#aa00ff"))
    told = {origin.key: origin.value for origin in profile.origins("tpu")}
    flat = profile.flat(full)
    assert {key for key in flat if told.get(key) != flat[key]} <= set(ORDER_KEYS) <= set(flat)
    assert {origin.file for origin in profile.origins("TPU")} == {"machine.ini", "process.ini", "filament-TPU.ini"}
    assert {(origin.key, origin.instead_of) for origin in profile.origins("TPU") if origin.instead_of} == {
        ("retract_length", "5"),
        ("retract_speed", "45"),
    }


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
    with pytest.raises(Refused, match=r"no settings for ABS \(it has PETG, PLA, TPU\)") as refused:
        load(mine).material("ABS")
    assert refused.value.code == "no_profile" and "filament-ABS.ini" in refused.value.hint


def test_a_bed_that_does_not_begin_at_zero(mine: Path) -> None:
    change(mine / "machine.ini", "bed_shape", "-100x-50,100x-50,100x50,-100x50")
    assert load(mine).bed_mm == (200, 100, 250) and load(mine).bed_x_mm == (-100, 100)


def test_a_printer_with_a_slicer_its_profile_is_not_for(tmp_path: Path) -> None:
    (tmp_path / "printers").mkdir()
    printer = 'name = "a"\nkind = "virtual"\nprofile = "bambu-p1s"\nslicer = "curaengine"\n'
    (tmp_path / "printers" / "a.toml").write_text(printer)
    (tmp_path / "config.toml").write_text('[agent]\ndata_dir = "data"\n')
    with pytest.raises(ConfigError, match='a: slicer = "curaengine", and the profile bambu-p1s is for prusaslicer') as told:
        build_printers(load_config(tmp_path / "config.toml"))
    assert str(default_profiles_dir() / "bambu-p1s" / "profile.toml") in told.value.hint
    (tmp_path / "printers" / "a.toml").write_text(printer.replace("bambu-p1s", "voron-v0"))
    assert build_printers(load_config(tmp_path / "config.toml"))["a"].facts.slicer == "curaengine"


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
        ("machine.ini", "bed_shape", "0x0,10x10", "needs 3…500 corners"),
        ("machine.ini", "bed_shape", "0x0,220x0,110x1e999", "needs 3…500 corners"),
        ("machine.ini", "bed_shape", "0x0,220x0,220", "is no list of corners"),
        ("machine.ini", "bed_shape", "round", "is no list of corners"),
        ("machine.ini", "bed_shape", "0x0,220x0,220x220,0x220,110x230", "crosses itself"),
        ("process.ini", "brim_width", "wide", "is no number of at least 0"),
        ("process.ini", "skirts", "-1", "is no number of at least 0"),
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
    with pytest.raises(
        ConfigError, match=r"the filament files \(ABS, PLA, TPU\) and \[materials\] of profile.toml \(PLA, PETG, TPU\) differ"
    ):
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


@pytest.mark.parametrize("named", ["'prusaslicer'", "[]", "[5]", "['']"])
def test_slicers_that_are_no_list_of_names(mine: Path, named: str) -> None:
    about = mine / "profile.toml"
    about.write_text(re.sub("(?m)^slicers = .*$", f"slicers = {named}", about.read_text()))
    with pytest.raises(ConfigError, match=r"profile\.toml: slicers = .* is no list of slicers"):
        load(mine)


def test_a_profile_that_names_no_slicer_is_for_prusaslicer(mine: Path) -> None:
    about = mine / "profile.toml"
    about.write_text(re.sub("(?m)^slicers = .*$", "", about.read_text()))
    assert load(mine).slicers == ("prusaslicer",)


@pytest.mark.parametrize("name", ["nothing", "../mine", "", "mine/.."])
def test_a_profile_that_is_not_there(mine: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="There is no slicer profile") as error:
        ProfileLibrary(mine.parent).profile(name)
    assert "mine" in error.value.hint


def test_no_folder_of_profiles_at_all(tmp_path: Path) -> None:
    assert ProfileLibrary(tmp_path / "nowhere").names() == []
