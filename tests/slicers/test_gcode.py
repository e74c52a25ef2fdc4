"""What is read out of a G-code file, whoever wrote it and however."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.slicers.bed import Area, Bed, bed_told
from agent.slicers.gcode import read_facts
from agent.slicers.gcode_facts import GcodeFacts

Read = Callable[[str | bytes], GcodeFacts]
LAYER = ";LAYER_CHANGE\n;TYPE:External perimeter\n"
CONFIG = "; prusaslicer_config = begin\n; fill_density = 20%\n; start_gcode = G28\\nM83 ; = relative\n; prusaslicer_config = end\n"


@pytest.fixture
def facts_of(tmp_path: Path) -> Read:
    def read(text: str | bytes) -> GcodeFacts:
        path = tmp_path / "x.gcode"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_facts(path)

    return read


# --- extrusion ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "laid"),
    [
        ("M83\n" + LAYER + "G1 X10 E1\nG1 X20 E1\nG1 X30 E1\n", 3),
        ("M82\n" + LAYER + "G1 X10 E1\nG1 X20 E2\nG1 X30 E3\n", 3),
        (LAYER + "G1 X10 E1\nG1 X20 E2\n", 2),  # absolute is what a printer starts with
        ("M82\n" + LAYER + "G1 X10 E1\nG92 E0\nG1 X20 E1\nG92 E5\nG1 X30 E6\n", 3),
        ("M82\n" + LAYER + "G1 X10 E1\nG92\nG1 X20 E1\n", 2),  # alone it names every axis 0
        ("M82\nG92 E7\n" + LAYER + "G1 X10 E8\nM83\nG1 X20 E1\nM82\nG1 X30 E9\n", 3),
        ("M82\n" + LAYER + "G1 X10 E1\nG91\nG1 X10 E1\nG90\nG1 X30 E2\n", 3),  # G91 is for E as well
        ("M83\nG1 X10 E9\n" + LAYER + "G1 X20 E1\n", 1),  # the purge line of the start code is none of the print
    ],
)
def test_laid_filament(facts_of: Read, text: str, laid: float) -> None:
    assert facts_of(text).laid_mm == {"External perimeter": pytest.approx(laid)}


def test_pulling_back_is_not_laying(facts_of: Read) -> None:
    facts = facts_of("M83\n" + LAYER + "G1 X10 E5\nG1 E-2\nG1 X50\nG1 E2\nG1 X60 Y5 E-1\nG1 X70 E1\n")
    assert facts.laid_mm == {"External perimeter": 6} and facts.net_mm == 5
    assert facts.bounds[3] == 70


def test_each_feature_has_its_own_sum(facts_of: Read) -> None:
    facts = facts_of("M83\n" + LAYER + "G1 X10 E1\n;TYPE:Internal infill\nG1 X0 E2\n;TYPE:External perimeter\nG1 X5 E4\n")
    assert facts.laid_mm == {"External perimeter": 5, "Internal infill": 2}


# --- places ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("moves", "bounds"),
    [
        ("G1 X10 Y20 Z0.2\nG1 X30 Y5 E1\n", [10, 5, 0.2, 30, 20, 0.2]),
        ("G1 X10 Y10\nG91\nG1 X5 Y-5 E1\nG90\n", [10, 5, 0, 15, 10, 0]),
        ("G1 X10 Y10\nG92 X0 Y0\nG1 X5 Y5 E1\n", [10, 10, 0, 15, 15, 0]),
        ("G1 X10 Y10\nG92 X0 Y0\nG28\nG1 X5 Y5 E1\n", [0, 0, 0, 5, 5, 0]),
        ("G1 X99 Y99\nG0 X10 Y10\nG1 Z5\nG1 X11 E1\n", [10, 10, 5, 11, 10, 5]),
        ("G1 X-5 Y-6\nG1 X+7 Y.5 E1\n", [-5, -6, 0, 7, 0.5, 0]),
    ],
)
def test_bounds_are_of_what_is_laid_with_both_ends(facts_of: Read, moves: str, bounds: list[float]) -> None:
    assert facts_of("M83\nG1 X500 E9\n" + LAYER + moves).bounds == bounds


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", " ; a comment\n", ";a comment\n", "*71\n"])
@pytest.mark.parametrize(
    "way", ["G1 X10 Y5 E1", "G1X10Y5E1", "g1 x10 y5 e1", "  G1  X10   Y5\tE1", "N10 G1 X10 Y5 E1", "G01 X010 Y5. E+1", "G0 X10 Y5 E1"]
)
def test_ways_of_writing_a_move(facts_of: Read, way: str, end: str) -> None:
    facts = facts_of(("M83\n" + LAYER).encode() + (way + end).encode())
    assert (facts.laid_mm, facts.bounds, facts.not_understood) == ({"External perimeter": 1}, [0, 0, 0, 10, 5, 0], [])


@pytest.mark.parametrize(
    "line", ["G1 X", "G1 X10 Y--5", "G1 X10 foo", "G1 Xinf", "G1 X10 (aside)", "X10 E1", "!", "/G28", "5", "G28 M104 S250", "M104S200G1X5"]
)
def test_what_is_no_command_is_told(facts_of: Read, line: str) -> None:
    assert len(facts_of(f"G28\n{line}\n").not_understood) == 1


# --- copies ------------------------------------------------------------------------------------------------------------
def test_copies_are_boxes_of_their_own_without_supports_and_skirt(facts_of: Read) -> None:
    named = "; printing object item-61 id:{0} copy {1}\n{2}; stop printing object item-61 id:{0} copy {1}\n"
    body = "M83\n;LAYER_CHANGE\n;TYPE:Skirt/Brim\nG1 X0 Y0 Z1\nG1 X100 E1\n;TYPE:Perimeter\nG1 X10 Y0\n"
    body += named.format(0, 0, "G1 X20 E1\n") + "G1 X50\n" + named.format(0, 1, "G1 X60 E1\n")
    body += named.format(1, 0, "G1 X70\nG1 X75 E1\n;TYPE:Support material\nG1 X90 E1\n") + named.format(2, 0, "G1 X1\n")
    facts = facts_of(body)
    assert facts.bodies == {"item-61": [[10, 0, 1, 20, 0, 1], [50, 0, 1, 60, 0, 1], [70, 0, 1, 75, 0, 1]]}
    assert facts.bounds == [0, 0, 1, 100, 0, 1]


def test_a_file_name_behind_a_label_is_cut_off(facts_of: Read) -> None:
    assert list(facts_of("M83\n" + LAYER + "; printing object cube20.stl id:0 copy 1\nG1 X5 E1\n").bodies) == ["cube20"]


# --- layers ------------------------------------------------------------------------------------------------------------
def layers(*heights: float) -> str:
    label = "; printing object a id:0 copy 0\n"
    return "M83\n" + "".join(
        f";LAYER_CHANGE\n{label};TYPE:Perimeter\nG1 Z{z}\nG1 X{n + 1} E1\nG1 Z{z + 1}\n" for n, z in enumerate(heights)
    )


@pytest.mark.parametrize(
    ("heights", "count", "first", "step", "widest"),
    [
        ((), 0, 0, 0, 0),
        ((0.3,), 1, 0.3, 0, 0),
        ((0.3, 0.5, 0.7, 0.9), 4, 0.3, 0.2, 0.2),
        ((0.2, 0.4, 0.8, 1.0), 4, 0.2, 0.2, 0.4),
    ],
)
def test_layers(facts_of: Read, heights: tuple[float, ...], count: int, first: float, step: float, widest: float) -> None:
    facts = facts_of(layers(*heights))
    assert (facts.layers, facts.first_mm, facts.layer_mm, facts.widest_step_mm) == (count, first, step, widest)


# --- temperatures and commands -----------------------------------------------------------------------------------------
def test_temperatures_that_are_set_and_those_while_laying(facts_of: Read) -> None:
    text = "M104 S150\nM109S210\nm190 r60\nM83\n" + LAYER + "G1 X1 E1\nM104 S200\nG1 X2 E1\nG1 X3 E1\nM104 S0\nM140 S0\nM105\nM104\n"
    facts = facts_of(text)
    assert (facts.nozzle_c, facts.bed_c) == ([150, 210, 200, 0], [60, 0])
    assert (facts.laid_at_nozzle_c, facts.laid_at_bed_c) == ([210, 200], [60])


def test_commands_are_counted_by_their_plain_names(facts_of: Read) -> None:
    facts = facts_of(
        'G28\ng028 W\nM0502\nN5 M862.3 P "MK3S"*12\nT0\nstart_print BED=60\nG2 X5\nM117 M3 bolts\nM104 T1 S0\n'
        + LAYER
        + "G3 X5\n; M500\n;M500\nG1 X5 ; M500\n"
    )
    expected = {"G28": 2, "M502": 1, "M862.3": 1, "T0": 1, "START_PRINT": 1, "M117": 1, "M104": 1, "T1": 1, "G3": 1}
    assert (facts.commands, facts.not_understood) == (expected, [])


# --- the end of the file -----------------------------------------------------------------------------------------------
def test_the_footer(facts_of: Read) -> None:
    facts = facts_of(
        "; filament used [mm] = 1217.45, 2.55\n; filament used [cm3] = 2.93\n; filament used [g] = 3.63\n; filament used [m] = 9\n"
        "; estimated printing time (normal mode) = 1d 2h 3m 4s\n; estimated printing time (silent mode) = 9d\n"
    )
    assert (facts.filament_mm, facts.filament_cm3, facts.filament_g, facts.seconds) == (1220, 2.93, 3.63, 93784)


def test_a_footer_that_makes_no_sense(facts_of: Read) -> None:
    facts = facts_of("; filament used [mm] = many\n; filament used [g] = \n; estimated printing time (normal mode) = soon\n")
    assert (facts.filament_mm, facts.filament_g, facts.seconds) == (0, 0, 0)


def test_the_settings_count_only_when_they_are_the_whole_end(facts_of: Read) -> None:
    whole = {"fill_density": "20%", "start_gcode": "G28\\nM83 ; = relative"}
    assert facts_of("G28\n" + CONFIG).config == whole
    assert facts_of("G28\n" + CONFIG + "\n").config == whole
    assert facts_of("G28\n" + CONFIG.replace("\n", "\r\n")).config == whole
    for cut in range(1, 30):
        assert facts_of("G28\n" + CONFIG[:-cut]).config == {}
    assert facts_of(CONFIG + "G28\n").config == facts_of(CONFIG + "; more\n").config == facts_of(CONFIG + "G1 X5\n").config == {}


# --- whatever is in the file -------------------------------------------------------------------------------------------
WORDS = st.sampled_from(
    [
        "G1",
        "G92",
        "G91",
        "M83",
        "M104",
        "X",
        "Y5",
        "E1",
        "Ee",
        "S-",
        "S1e9",
        "N",
        "*",
        "-",
        ".",
        " ",
        "\r",
        "\n",
        "\0",
        "9" * 400,
        "9" * 5000,
    ]
) | st.sampled_from([";TYPE:", ";LAYER_CHANGE", "; printing object a id:0 copy 0", "; filament used [g] = ", *CONFIG.splitlines()])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.binary(max_size=300), st.lists(WORDS, max_size=60).map(lambda words: "".join(words).encode())))
def test_nothing_in_a_file_raises(facts_of: Read, text: bytes) -> None:
    GcodeFacts(**json.loads(json.dumps(asdict(facts_of(text)))))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(-100, 100), st.integers(-100, 100), st.integers(1, 9)), min_size=1, max_size=20))
def test_relative_and_absolute_files_say_the_same(facts_of: Read, steps: list[tuple[int, int, int]]) -> None:
    at_x = at_y = at_e = 0
    written: dict[tuple[bool, bool], list[str]] = {(axes, e): [] for axes, e in product((True, False), (True, False))}
    for dx, dy, de in steps:
        at_x, at_y, at_e = at_x + dx, at_y + dy, at_e + de
        for (axes, e), lines in written.items():
            lines.append(f"G1 X{dx if axes else at_x} Y{dy if axes else at_y} E{de if axes or e else at_e}\n")
    heads = {(axes, e): ("G91\n" if axes else "G90\n") + ("M83\n" if e else "M82\n") for axes, e in written}
    told = [facts_of(heads[way] + LAYER + "".join(lines)) for way, lines in written.items()]
    assert all((facts.bounds, facts.laid_mm, facts.net_mm) == (told[0].bounds, told[0].laid_mm, told[0].net_mm) for facts in told)


def test_lines_across_the_pieces_a_file_is_read_in(facts_of: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "M83\r\n" + LAYER + "".join(f"G1 X{n % 90} Y{n % 70} Z{n / 100} E.5\r\n" for n in range(400)) + CONFIG
    whole = facts_of(text)
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr("agent.slicers.gcode._CHUNK", size)
        assert facts_of(text) == whole


def test_a_line_without_end_is_no_danger(facts_of: Read) -> None:
    facts = facts_of(b";" + b"x" * 3_000_000 + b"\nG28\n" + CONFIG.encode())
    assert facts.commands == {"G28": 1} and len(facts.not_understood) > 0


def test_as_a_process_of_its_own(tmp_path: Path) -> None:
    gcode, to, bed = tmp_path / "x.gcode", tmp_path / "facts.json", tmp_path / "bed.json"
    gcode.write_text("M83\n" + LAYER + "G1 X5 E1\nG1 X50 Y99 E1\n" + CONFIG)
    subprocess.run([sys.executable, "-m", "agent.slicers.gcode", gcode, to], check=True)
    assert GcodeFacts(**json.loads(to.read_text())) == read_facts(gcode)
    bed.write_text(bed_told(NOTCHED))
    subprocess.run([sys.executable, "-m", "agent.slicers.gcode", gcode, to, bed], check=True)
    assert GcodeFacts(**json.loads(to.read_text())) == read_facts(gcode, NOTCHED)
    assert read_facts(gcode, NOTCHED).strays == ["5.0, 0.0", "50.0, 99.0"]


# --- many lines at once ------------------------------------------------------------------------------------------------
NOTCHED = Bed(((0, 0), (100, 0), (100, 60), (60, 100), (0, 100)), (Area(0, 0, 10, 10),))
NUMBERS = st.sampled_from(
    ["0", "1", "12.5", ".5", "-.5", "-3", "50", "61.125", "99", "0012", "7.", "1-2", "--1", "1.2.3", "-", "", "9" * 400]
)
PLAIN = st.builds("G1 X{} Y{} E{}".format, NUMBERS, NUMBERS, NUMBERS)
LIKELY = st.builds("G1 X{} Y{} E.{}".format, *[st.integers(0, 100)] * 3)
"""Most of these make runs; one of PLAIN among them seldom does."""
OTHER = st.sampled_from(["M82", "M83", "G90", "G91", "G92 E0", "G92 X5", "G28", "G1 Z.4", "M104 S200", "G1 E-1", "G1 X9 Y9 F900", ""])
MARKS = st.sampled_from([";LAYER_CHANGE", ";TYPE:Perimeter", ";TYPE:Skirt", "; printing object a id:0 copy 0"])
PIECES = st.lists(LIKELY, min_size=4, max_size=9) | st.lists(LIKELY | PLAIN, max_size=6) | st.lists(OTHER | MARKS, max_size=2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=12), started=st.booleans(), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_lines_at_once_say_what_they_say_one_by_one(tmp_path: Path, pieces: list[list[str]], started: bool, end: str) -> None:
    lines = [*([";LAYER_CHANGE", "M83"] if started else []), *(line for piece in pieces for line in piece)]
    hold_both(tmp_path / "x.gcode", end.join(lines))


HEADS = ("M83", "M82", "M82\nG1 E5", "M83\nG92 X5", "M83\nG91", "M83\nG1 X1 Y1 Z.3")
ODD = (
    *(
        "G0 X1 Y2 E9",
        "G2 X1 Y2 E9",
        "G01 X1 Y2 E9",
        "g1 x1 y2 e9",
        " G1 X1 Y2 E9",
        "G1 X1 Y2 E9 ",
        "5G1 X Y9 E9",
        "1G X1 Y2 E9",
        "G1 X1 Y2 9E",
    ),
    *(
        "G1 X1 2Y E9",
        "G1 X 1Y2 E9",
        "G1 X1 Y2 E9;",
        "G1 Y1 X2 E9",
        "G1X1Y2E9",
        "G 1X1 Y2 E9",
        "G1 X1 Y2 E9-",
        "G1 X1 Y2 E",
        "G1 X1 Y2 E1-2",
    ),
    *(
        "G1 X50 Y60 E0",
        "G1 X1 Y2 E4",
        "G1 X1 Y2 E-1",
        "G1 X4 Y4 E9",
        "G1 X5 Y5 E9",
        "G1 X5 Y95 E9",
        "G1 X1 Y2 E" + "9" * 400,
        "G1 X1 Y2 E" + "9" * 400 + "\nG1 X2 Y3 E" + "9" * 400,
        "G1 X" + "9" * 400 + " Y1 E9",
    ),
)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("odd", ODD)
def test_a_line_among_others_that_is_not_quite_like_them(tmp_path: Path, head: str, odd: str) -> None:
    """(4, 4) is where the line before it ends, with E 4; (5, 5) is in the zone, and from there (5, 95) is over the dent."""
    before, after = ("\n".join(f"G1 X{n} Y{n} E{n}" for n in some) for some in (range(1, 5), range(20, 24)))
    for then in ("G1 X30 Y30", after):
        hold_both(tmp_path / "x.gcode", f"{head}\n;LAYER_CHANGE\n{before}\n{odd}\n{then}\n")


def hold_both(gcode: Path, text: str) -> None:
    """In words, for what is no number is not equal to itself. Later Pythons add up more exactly than one by one."""
    gcode.write_bytes(text.encode())
    for bed in (None, NOTCHED):
        at_once = read_facts(gcode, bed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("agent.slicers.gcode._SHORT_RUN", sys.maxsize)
            one_by_one = read_facts(gcode, bed)
        assert str(rounded(asdict(at_once))) == str(rounded(asdict(one_by_one)))


def rounded(told: object) -> object:
    match told:
        case float():
            return float(f"{told:.9g}")
        case dict():
            return {key: rounded(value) for key, value in told.items()}
        case list():
            return [rounded(value) for value in told]
    return told


def test_runs_are_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test before this one would hold for a reader that never does."""
    gcode = tmp_path / "x.gcode"
    gcode.write_text("M83\n" + LAYER + "G1 X1 Y1 E.5\nG1 X2 Y3.5 E.25\nG1 X-1 Y9 E1\nG1 X0 Y0 E.25\n" + CONFIG)
    monkeypatch.setattr("agent.slicers.gcode.Reader.move", None)
    facts = read_facts(gcode)
    assert (facts.laid_mm, facts.bounds, facts.net_mm) == ({"External perimeter": 2}, [-1, 0, 0, 2, 9, 0], 2)


# --- off the bed -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("moves", "strays"),
    [
        ("G1 X50 Y50\nG1 X20 Y80 E1\nG1 X20 Y20 E1\nG1 X50 Y20 E1\nG1 X50 Y50 E1\n", []),
        ("G1 X50 Y50\nG1 X20 Y80 E1\nG1 X99 Y99 E1\nG1 X50 Y20 E1\nG1 X50 Y50 E1\n", ["99.0, 99.0", "50.0, 20.0"]),  # over its dent
        ("G1 X50 Y5\nG1 X20 Y5 E1\nG1 X9 Y5 E1\nG1 X5 Y20 E1\nG1 X20 Y20 E1\n", ["9.0, 5.0", "5.0, 20.0"]),  # into the zone
        ("G1 X50 Y5\nG1 X5 Y5\nG1 X50 Y5\nG1 X60 Y5 E1\n", []),  # nothing is laid there
    ],
)
def test_what_is_laid_off_the_bed_is_told_in_the_same_pass(tmp_path: Path, moves: str, strays: list[str]) -> None:
    gcode = tmp_path / "x.gcode"
    gcode.write_text("M83\n" + LAYER + moves)
    assert read_facts(gcode, NOTCHED).strays == strays
    assert read_facts(gcode).strays is None
