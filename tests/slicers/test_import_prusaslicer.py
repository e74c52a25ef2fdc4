"""PrusaSlicer's bundles, configurations and G-code become profiles that slice, prove, and say the same as PrusaSlicer itself."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.errors import AgentError, Refused
from agent.slicers.importing.conditions import fits
from agent.slicers.importing.draft import Setting
from agent.slicers.importing.finish import BED_MARGIN_C, NOZZLE_MARGIN_C
from agent.slicers.importing.folder import write
from agent.slicers.importing.known import read_by_prusaslicer
from agent.slicers.importing.presets import UNDECIDED, Choice
from agent.slicers.profiles import ORDER_KEYS, Flat, Profile, ProfileLibrary, as_ini
from agent.slicers.prusaslicer import PrusaSlicer
from tests.slicers import bench as benches
from tests.slicers.bench import CUBE, unproved, work
from tests.slicers.importing import MK3S, VENDORS, bench_with, drafted, imported

BUNDLES = sorted(VENDORS.glob("*.ini"))
OTHER_NOZZLES = re.compile(r"\b(0\.(25|3|5|6|8)|1\.[02])\b")
ENDER3 = Choice("Creality Ender-3 (0.4 mm nozzle)", "0.20 mm NORMAL (0.4 mm nozzle)", ("Creality PLA", "Creality PETG"))
VORON = Choice("Voron_v0 0.4 nozzle", "0.2mm 0.4nozzle V0", ("Basic PLA @VORON", "Basic ABS @VORON"))


async def proved(root: Path, profile: Profile, **changed: object) -> bytes:
    """The G-code of a cube, each line of its proof looked at."""
    bench = bench_with(root, profile)
    plate = await bench.one(work(bench.part(CUBE), profile=profile.name, **changed))
    assert unproved(plate) == set(), plate.failed_proof()
    return bench.gcode(plate)


def saved_by_the_slicer(folder: Path, flat: Flat) -> Flat:
    (folder / "given.ini").write_text(as_ini(flat))
    command = ["prusa-slicer", "--datadir", folder / "data", "--load", folder / "given.ini", "--save", folder / "saved.ini"]
    subprocess.run(command, check=True, capture_output=True)
    lines = (line.partition("=") for line in (folder / "saved.ini").read_text().splitlines() if not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in lines}


# --- against the slicer itself -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("vendor", "choice"), [("PrusaResearch", MK3S), ("Creality", ENDER3), ("Voron", VORON)])
async def test_a_vendor_s_printer_slices_and_proves(tmp_path: Path, vendor: str, choice: Choice) -> None:
    profile = await imported(tmp_path, VENDORS / f"{vendor}.ini", choice=choice)
    assert len(profile.materials) == 2 and profile.slicers == ("prusaslicer",) and profile.nozzle_mm == 0.4
    for material in profile.materials:
        await proved(tmp_path, profile, material=material)


async def test_the_flat_keys_are_those_the_slicer_reports(tmp_path: Path) -> None:
    profile = await imported(tmp_path, VENDORS / "PrusaResearch.ini", choice=MK3S)
    for material in profile.materials:
        flat = profile.machine | profile.process | profile.filaments[material]
        saved = saved_by_the_slicer(tmp_path, flat)
        assert len(flat) > 200 and {key: saved.get(key) for key in flat} == flat


def test_parents_are_laid_over_each_other_as_in_the_bundle() -> None:
    """Looked up in the file by hand: from the preset itself, its parents, and theirs."""
    draft = drafted(VENDORS / "PrusaResearch.ini", choice=MK3S)
    pla, petg = draft.filaments["PLA"], draft.filaments["PETG"]
    assert draft.machine["printer_model"].text == "MK3S" and draft.machine["bed_shape"].source == "[printer:*common*]"
    assert (pla["temperature"].place, pla["temperature"].text) == ("[filament:Prusament PLA], line 4294", "215")
    assert (petg["first_layer_temperature"].text, petg["temperature"].text) == ("240", "250")
    assert draft.process["infill_speed"].source == "[print:0.20mm QUALITY @MK3]" and draft.process["infill_speed"].text == "80"
    assert draft.process["layer_height"].source == "[print:*0.20mm*]" and draft.process["layer_height"].text == "0.2"


def test_every_printer_of_0_4_mm_of_every_vendor_flattens_or_is_refused_by_name(tmp_path: Path) -> None:
    """With the first print and filament of the file: whether they go together is the person's choice."""
    flattened, refused = 0, []
    for bundle in BUNDLES:
        names = {kind: presets_of(bundle, kind) for kind in ("printer", "print", "filament")}
        for printer in (name for name in names["printer"] if not OTHER_NOZZLES.search(name)):
            try:
                draft = drafted(bundle, choice=Choice(printer, names["print"][0], (names["filament"][0],)))
            except Refused as error:
                assert error.hint
                refused.append(str(error))
                continue
            if draft.machine["nozzle_diameter"].text == "0.4":
                write(draft, tmp_path, f"p{flattened}", replace=False)
                flattened += 1
    assert flattened > 100
    assert all("extruders" in why or "no printer with a nozzle" in why or "does not say bed_shape" in why for why in refused), refused


def presets_of(bundle: Path, kind: str) -> list[str]:
    return [name for name in re.findall(rf"(?m)^\[{kind}:(.+)\]$", bundle.read_text()) if not name.startswith("*")]


async def test_a_first_layer_in_percent_is_written_in_mm(tmp_path: Path) -> None:
    choice = Choice("Artillery Hornet", "0.10mm HIGHDETAIL", ("Generic PLA",))
    profile = await imported(tmp_path, VENDORS / "Artillery.ini", choice=choice)
    assert (profile.process["first_layer_height"], profile.process["layer_height"]) == ("0.15", "0.1")
    await proved(tmp_path, profile)


# --- flat files and G-code ---------------------------------------------------------------------------------------------
async def test_an_exported_configuration_and_a_gcode_are_the_profile_again(tmp_path: Path) -> None:
    first = await imported(tmp_path / "bundle", VENDORS / "PrusaResearch.ini", choice=MK3S)
    gcode = await proved(tmp_path / "bundle", first)
    (tmp_path / "cube.gcode").write_bytes(gcode)
    (tmp_path / "config.ini").write_text(as_ini(first.machine | first.process | first.filaments["PLA"] | {"filament_type": "PLA"}))
    for number, file in enumerate((tmp_path / "cube.gcode", tmp_path / "config.ini")):
        again = await imported(tmp_path / str(number), file)
        assert again.materials == ["PLA"] and again.bed_mm == first.bed_mm
        flat, before = ({k: v for k, v in one.flat(benches.settings()).items() if k not in ORDER_KEYS} for one in (again, first))
        assert {key: flat.get(key) for key in before} == before
        assert moves(await proved(tmp_path / str(number), again)) == moves(gcode)


def moves(gcode: bytes) -> list[bytes]:
    return [line for line in gcode.splitlines() if not line.startswith(b";")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("G28\nG1 X5\n", "ends without PrusaSlicer's settings"),
        ("; prusaslicer_config = begin\n; layer_height = 0.2\n", "ends without PrusaSlicer's settings"),
        ("; CONFIG_BLOCK_START\n; layer_height = 0.2\n; CONFIG_BLOCK_END\n", "ends without PrusaSlicer's settings"),
    ],
)
def test_a_gcode_of_another_slicer_or_cut_off(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.gcode").write_text(text)
    with pytest.raises(Refused, match=why) as refused:
        drafted(tmp_path / "a.gcode")
    assert refused.value.hint


def test_of_a_whole_configuration_nothing_is_chosen_and_to_it_nothing_is_added(tmp_path: Path) -> None:
    (tmp_path / "flat.ini").write_text("layer_height = 0.2\n")
    with pytest.raises(Refused, match=r"flat\.ini is one whole configuration"):
        drafted(tmp_path / "flat.ini", choice=Choice(filaments=("PLA",)))
    with pytest.raises(Refused, match=r"PrusaResearch\.ini cannot be added to it"):
        drafted(tmp_path / "flat.ini", VENDORS / "PrusaResearch.ini")


async def test_what_the_slicer_silently_takes_for_something_else_is_told(tmp_path: Path) -> None:
    """A pattern of a newer version; PrusaSlicer 2.5 says nothing, and fills with stars."""
    draft = drafted(written(tmp_path, SOUND.replace("[print:Q]\n", "[print:Q]\nfill_pattern = crosshatch\nperimeters = 3.0\n")))
    await read_by_prusaslicer(draft, PrusaSlicer().program, tmp_path / "work")
    assert [(told.key, told.given, told.read) for told in draft.reworded] == [("fill_pattern", "crosshatch", "stars")]
    bad = drafted(written(tmp_path, SOUND.replace("[print:Q]\n", "[print:Q]\nperimeters = many\n")))
    with pytest.raises(Refused, match=r"PrusaSlicer cannot read what was imported .*perimeters: many"):
        await read_by_prusaslicer(bad, PrusaSlicer().program, tmp_path / "again")


# --- which go together -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("", True),
        ('printer_model=="MINI"', True),
        ('printer_model!="MINI" or nozzle_diameter[0]>=0.4', True),
        ('! (printer_model=="MINI" and nozzle_diameter[0]==0.4)', False),
        ("printer_notes=~/.*VENDOR_A.*/ and printer_notes!~/.*MODEL_(X|Y)[^\\.].*/", True),
        ("printer_notes=~/.*VENDOR_B.*/", False),
        ("num_extruders>1", False),
        ("not silent_mode and single_extruder_multi_material", False),
        ("printer_notes=~/(a+)+b/", None),
        ("printer_notes=~/.*a.*b.*c.*/", None),
        ("printer_notes=~/(/", None),
        ('printer_model=="MINI" and', None),
        ('printer_model=="MINI")', None),
        ("(" * 500, None),
        ("!" * 500 + "1", None),
        ("1 == 1 $ rm", None),
        ("x" * 5000, None),
    ],
)
def test_a_condition_is_weighed_or_left_to_the_person(condition: str, met: bool | None) -> None:
    said = {"printer_model": "MINI", "nozzle_diameter": "0.4", "printer_notes": r"hello\nVENDOR_A\nMODEL_Z1", "silent_mode": "0"}
    assert fits(condition, {key: Setting(value, "x") for key, value in said.items()}) is met


def test_a_preset_for_another_printer_is_passed_over_and_told_where_it_is_named() -> None:
    """0.20mm QUALITY @MINI is no candidate for a MK3S; the printer's own earlier name finds it."""
    assert drafted(VENDORS / "PrusaResearch.ini", choice=MK3S).check == []
    other = Choice(MK3S.printer, "0.20mm QUALITY @MINI", MK3S.filaments)
    (told,) = drafted(VENDORS / "PrusaResearch.ini", choice=other).check
    assert told.startswith("The process 0.20mm QUALITY @MINI is not made for this printer; it says: printer_notes=~")


# --- files with mistakes -----------------------------------------------------------------------------------------------
PRINTER = "[printer:P]\nbed_shape = 0x0,200x0,200x200,0x200\nmax_print_height = 180\nnozzle_diameter = 0.4\n"
PRINT = "[print:Q]\nlayer_height = 0.2\nfirst_layer_height = 0.2\n"
FILAMENT = "[filament:F]\nfilament_type = PLA\ntemperature = 210\nfirst_layer_temperature = 215\nfilament_diameter = 1.75\n"
SOUND = PRINTER + PRINT + FILAMENT
CIRCLE = "[printer:*a*]\ninherits = *b*\n[printer:*b*]\ninherits = *a*\n"


def written(tmp_path: Path, text: str, name: str = "a.ini", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"), [(SOUND, "utf-8-sig"), (SOUND.replace("\n", "\r\n"), "utf-8"), (f"\n\n# x\n{SOUND}", "utf-8")]
)
def test_marks_and_line_ends_of_other_systems(tmp_path: Path, text: str, encoding: str) -> None:
    draft = drafted(written(tmp_path, text, encoding=encoding))
    profile = write(draft, tmp_path / "profiles", "p", replace=False)
    assert profile.nozzle_mm == 0.4 and profile.limits["PLA"].nozzle_c == (210 - NOZZLE_MARGIN_C, 215 + NOZZLE_MARGIN_C)
    assert profile.limits["PLA"].bed_c == (0, BED_MARGIN_C)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SOUND.replace("[printer:P]\n", "[printer:P]\ninherits = *a*\n") + CIRCLE, "inherits from itself"),
        (SOUND.replace("[print:Q]\n", "[print:Q]\ninherits = Q\n"), "inherits from itself"),
        (SOUND.replace("first_layer_height = 0.2", "inherits = Gone"), "takes the rest from Gone, which is not in a.ini"),
        (SOUND + "[printer:P]\nnozzle_diameter = 0.6\n", r"printer P is there twice: a.ini:1 and a.ini:13"),
        (SOUND.replace("layer_height", "layer_height = 0.3\nlayer_height", 1), r"a.ini:7: layer_height is set twice, first in line 6"),
        (SOUND.replace("nozzle_diameter = 0.4", "nozzle_diameter = 0.4,0.4"), r"P has 2 extruders \(\[printer:P\], line 4\)"),
        (SOUND.replace("nozzle_diameter = 0.4", "printer_technology = SLA"), "no printer with a nozzle"),
        (SOUND.replace("max_print_height = 180\n", ""), "The printer does not say max_print_height"),
        (SOUND.replace("temperature = 210", "temperature = hot"), r"temperature = hot \(\[filament:F\], line 10\) is no temperature"),
        (SOUND.replace("nozzle_diameter = 0.4", "nozzle_diameter = wide"), r"nozzle_diameter = wide .*\[printer:P\], line 4"),
        (SOUND.replace("filament_type = PLA", "filament_type = ../PLA"), r"material ../PLA \(.*line 9\) cannot be the name of a file"),
        (SOUND.replace("max_print_height = 180", "no sign"), r"a.ini:3: 'no sign' is no 'key = value' line"),
        ("[printer:]\nnozzle_diameter = 0.4\n", "a.ini:1: this printer has no name"),
        ("[vendor]\nname = x\n", r"a.ini has sections \(\[vendor\]\), and none"),
        ("", "a.ini says nothing"),
        ("layer_height = 0.2\n", "The printer does not say bed_shape"),
        (PRINTER + PRINT, "has no filament to choose"),
        (SOUND.replace("[print:Q]\n", f"[print:Q]\ninherits = {';'.join(map(str, range(99)))}\n"), "has 99 parents"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        write(drafted(written(tmp_path, text)), tmp_path / "profiles", "p", replace=False)
    assert refused.value.hint and ".importing" not in str(refused.value)


def test_a_user_s_preset_that_is_whole_needs_no_parent(tmp_path: Path) -> None:
    draft = drafted(written(tmp_path, SOUND.replace("[print:Q]\n", "[print:Q]\ninherits = 0.20mm QUALITY\n")))
    assert any("Q says that it comes from 0.20mm QUALITY" in line for line in draft.check)


def test_a_parent_may_come_from_another_file(tmp_path: Path) -> None:
    child = written(tmp_path, "[print:Mine]\ninherits = Q\nperimeters = 5\n")
    draft = drafted(child, written(tmp_path, SOUND, "b.ini"), choice=Choice(process="Mine"))
    assert (draft.process["perimeters"].text, draft.process["layer_height"].place) == ("5", "[print:Q], line 6")


def test_code_that_the_proof_refuses_is_told_beforehand(tmp_path: Path) -> None:
    code = r"start_gcode = G28 ; M500 is only a remark\nM104 S0{if 1}M601{endif}\nM600"
    draft = drafted(written(tmp_path, SOUND.replace("[print:Q]", f"{code}\n[print:Q]")))
    assert [line.partition(" has ")[2][:4] for line in draft.check if "start_gcode" in line] == ["M601", "M600"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.ini", b"x" * 9_000_000, "larger than 8 MB"),
        ("a.ini", b"\xff\xfe\x00", "a.ini:1: this is not UTF-8 text"),
        ("a.gcode", b"GCDE\x01\x00", "binary G-code"),
    ],
)
def test_what_is_no_profile_at_all(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused, match=why):
        drafted(tmp_path / name)
    with pytest.raises(Refused, match="cannot be read: No such file"):
        drafted(tmp_path / "gone.ini")
    with pytest.raises(Refused, match="is no file"):
        drafted(Path("/dev/zero"))


# --- anything ----------------------------------------------------------------------------------------------------------
NAMES = st.sampled_from(["P", "Q", "F", "*a*", "*b*", "x;y", "../z", "\u2028", ""])
KEYS = st.sampled_from(
    [
        *("inherits", "bed_shape", "nozzle_diameter", "max_print_height", "layer_height", "first_layer_height", "temperature"),
        *("filament_type", "bed_temperature", "start_gcode", "post_process", "fill_density", "brim_width", "filament_density", "Bad Key"),
    ]
)
VALUES = st.sampled_from(
    ["0.4", "P", "*a*;*b*", "PLA", "0x0,9x0,9x9,0x9", "nan", "1e999", "-5", "", "60%", "0.4,0.4", r"\n{if 1}M500"]
) | st.text(max_size=20)
SECTIONS = st.lists(
    st.tuples(st.sampled_from(["printer", "print", "filament", "vendor"]), NAMES, st.dictionaries(KEYS, VALUES, max_size=8)), max_size=5
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(added=SECTIONS, changed=st.dictionaries(KEYS, VALUES, max_size=3))
def test_of_any_bundle_comes_a_profile_that_reads_back_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, added: list[tuple[str, str, Flat]], changed: Flat
) -> None:
    folder = tmp_path_factory.mktemp("any")
    text = SOUND
    for key, value in changed.items():
        text = re.sub(rf"(?m)^{key} = .*$", lambda _, line=f"{key} = {value}": line, text)
    text += "".join(f"[{kind}:{name}]\n" + "".join(f"{key} = {value}\n" for key, value in one.items()) for kind, name, one in added)
    (folder / "a.ini").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        profile = write(drafted(folder / "a.ini", choice=Choice("P", "Q", ("F",))), folder / "profiles", "p", replace=False)
    except AgentError as error:
        assert str(error) and (error.hint or error.code == UNDECIDED)
        assert not (folder / "profiles" / "p").exists()
    else:
        again = ProfileLibrary(folder / "profiles").profile("p")
        assert again.flat(benches.settings(material=profile.materials[0]))
