"""OrcaSlicer and Bambu Studio that fail: each code of theirs has a name and a way out, and exit 0 counts only with a good result.json."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.errors import AgentError, NeedsOperator, Refused
from agent.ports.slicer import SliceWork
from agent.slicers.orca.engine import OrcaEngine
from agent.slicers.orca.reasons import REASONS
from agent.slicers.orca.result import check_result
from agent.wire.child import Ended
from tests.slicers.bench import CUBE, Bench, work
from tests.slicers.orca_bench import failing, with_presets

CODES = {
    **{-1: "slicer_environment", -2: "slicer_parameters", -3: "slicer_input_missing", -4: "slicer_input_order", -5: "slicer_bad_preset"},
    **{-6: "slicer_bad_model", -7: "slicer_technology", -8: "slicer_unsupported", -9: "slicer_copies", -10: "slicer_scale"},
    **{-11: "slicer_export", -12: "slicer_export", -13: "slicer_export", -14: "slicer_out_of_memory", -15: "slicer_printer_unknown"},
    **{-16: "slicer_printer_differs", -17: "slicer_process_differs", -18: "slicer_bad_values", -19: "slicer_post_process"},
    **{-20: "slicer_bed_smaller", -21: "slicer_arrange", -22: "slicer_orient", -23: "slicer_printer_changed", -24: "slicer_file_version"},
    **{-50: "slicer_nothing_to_print", -51: "slicer_invalid", -52: "slicer_partly_outside"},
    **dict.fromkeys((-53, -54, -55, -56, -57), "slicer_cache"),
    **{-58: "slicer_own_time", -59: "slicer_triangles", -60: "slicer_nothing_left", -61: "slicer_bed_type", -62: "slicer_temperatures"},
    **{-63: "slicer_collision", -64: "slicer_collision", -65: "slicer_vase", -66: "slicer_filament_map", -67: "slicer_one_tpu"},
    **{-68: "slicer_filament_nozzle", -100: "slicer_failed", -101: "slicer_path_conflict"},
    **dict.fromkeys((-102, -103, -104, -105), "slicer_unprintable_area"),
}
PRESETS = (-5, -16, -17, -18, -19)
"""Nothing but a person's hand mends these; a model that cannot be sliced is no such thing."""
GOOD = {"return_code": 0, "error_string": "Success.", "plate_index": 0, "sliced_plates": [{"id": 1, "warning_message": ""}]}


@pytest.fixture
def cube(bench: Bench) -> SliceWork:
    with_presets(bench)
    return work(bench.part(CUBE), profile="mine")


async def error_of(bench: Bench, engine: OrcaEngine, order: SliceWork, **options: Any) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await bench.slicer(engine=engine, **options).slice(order)
    assert caught.value.hint
    assert list(bench.work_dir.iterdir()) == []
    return caught.value


def saying(folder: Path, result: object) -> str:
    """A line of shell that puts this into its place as result.json."""
    path = folder / "said.json"
    path.write_text(result if isinstance(result, str) else json.dumps(result))
    return f"cp {path} $results/result.json"


def test_every_code_has_a_reason() -> None:
    assert {code: reason.code for code, reason in REASONS.items()} == CODES
    assert all(reason.hint and reason.says for reason in REASONS.values())


@pytest.mark.parametrize("code", CODES)
async def test_a_code_becomes_a_reason(bench: Bench, cube: SliceWork, code: int) -> None:
    told = saying(bench.folder, {"return_code": code, "error_string": "In its own words."})
    error = await error_of(bench, failing(bench, f'{told}\necho "last words" >&2\nexit {code & 0xFF}'), cube)
    assert error.code == CODES[code]
    assert re.search(rf"^OrcaSlicer .*\({code}\)\. In its own words\. last words$", str(error))
    assert isinstance(error, NeedsOperator if code in PRESETS else AgentError)


@pytest.mark.parametrize("code", [-2, -100])
async def test_without_a_result_the_exit_status_tells(bench: Bench, cube: SliceWork, code: int) -> None:
    """A call that it does not understand ends before it knows where to write one."""
    error = await error_of(bench, failing(bench, f'echo "setup params error" >&2; exit {code & 0xFF}', "bambu"), cube)
    assert error.code == CODES[code] and str(error).startswith("Bambu Studio ") and str(error).endswith("setup params error")


# --- it ends well, and does not ----------------------------------------------------------------------------------------
PLATE = "echo G28 > $results/plate_1.gcode\n"
NOT_SO_GOOD = {
    "nothing at all": ("", None, "slicer_no_result", r"ended well, but wrote no result\.json"),
    "no result": (PLATE, None, "slicer_no_result", r"wrote no result\.json"),
    "no gcode": ("", GOOD, "slicer_wrote_nothing", r"ended well but wrote nothing"),
    "an empty gcode": (": > $results/plate_1.gcode\n", GOOD, "slicer_wrote_nothing", r"wrote nothing"),
    "another code": (PLATE, {**GOOD, "return_code": -51, "error_string": "Bad."}, "slicer_contradicts_itself", r"says -51: Bad\."),
    "no code": (PLATE, {"error_string": "Success."}, "slicer_bad_result", r"has no return_code"),
    "true for a code": (PLATE, {**GOOD, "return_code": False}, "slicer_bad_result", r"has no return_code"),
    "a code that is none": (PLATE, {**GOOD, "return_code": 10**4000}, "slicer_bad_result", r"has no return_code"),
    "half a character": (
        PLATE,
        {**GOOD, "return_code": -51, "error_string": "\ud800 \x1b["},
        "slicer_contradicts_itself",
        r"says -51: . .\[",
    ),
    "no object": (PLATE, [GOOD], "slicer_bad_result", r"has no return_code"),
    "no json": (PLATE, "Success.", "slicer_bad_result", r"is no JSON"),
    "cut off": (PLATE, json.dumps(GOOD)[:-9], "slicer_bad_result", r"is no JSON"),
    "nested without end": (PLATE, "[" * 200_000, "slicer_bad_result", r"is no JSON"),
    "huge": (PLATE, json.dumps({**GOOD, "error_string": "x" * 2_000_000}), "slicer_bad_result", r"is too large"),
    "no list of plates": (PLATE, {**GOOD, "sliced_plates": {"id": 1}}, "slicer_bad_result", r"has no list of plates"),
    "no plates": (PLATE, {**GOOD, "sliced_plates": []}, "slicer_other_plates", r"plate_1\.gcode; 0 in result\.json"),
    "two plates": (PLATE + "cp $results/plate_1.gcode $results/plate_2.gcode\n", GOOD, "slicer_other_plates", r"plate_1\.gcode, plate_2"),
    "another plate": (PLATE, {**GOOD, "sliced_plates": [{"id": 2}]}, "slicer_other_plates", r"given one plate"),
}


@pytest.mark.parametrize("how", NOT_SO_GOOD)
async def test_exit_0_is_not_enough(bench: Bench, cube: SliceWork, how: str) -> None:
    body, result, code, words = NOT_SO_GOOD[how]
    if result is not None:
        body += saying(bench.folder, result)
    error = await error_of(bench, failing(bench, body), cube)
    assert isinstance(error, Refused) and error.code == code
    assert re.search(words, str(error))


async def test_a_result_that_is_a_folder(bench: Bench, cube: SliceWork) -> None:
    error = await error_of(bench, failing(bench, f"{PLATE}mkdir $results/result.json"), cube)
    assert error.code == "slicer_bad_result" and "is no file" in str(error)


async def test_an_exit_status_against_the_result(bench: Bench, cube: SliceWork) -> None:
    error = await error_of(bench, failing(bench, f"{saying(bench.folder, GOOD)}\nexit 205"), cube)
    assert error.code == "slicer_contradicts_itself" and "ended with -51, but its result.json says 0: Success." in str(error)


async def test_warnings_are_bounded_and_name_items(bench: Bench, cube: SliceWork) -> None:
    plates = [{"id": 1, "warning_message": "item-61 floats\n" + "x" * 2000}]
    gcode = "echo '; nothing' > $results/plate_1.gcode\n"
    (plate,) = await bench.slicer(engine=failing(bench, gcode + saying(bench.folder, {**GOOD, "sliced_plates": plates}))).slice(cube)
    assert plate.warnings[0].startswith("a floats xxx") and len(plate.warnings[0]) == 500
    assert not plate.proved


# --- it does not end as it should ----------------------------------------------------------------------------------------
ENDINGS = {
    "crashes": ("kill -SEGV $$", "slicer_crashed", r"crashed on this model \(exit -11\)"),
    "crashes in a shell": ("exit 139", "slicer_crashed", r"exit 139"),
    "is killed from outside": ("kill -KILL $$", "slicer_out_of_memory", r"killed from outside"),
    "says what nobody knows": ("exit 1", "slicer_refused", r"refused \(exit 1\)"),
    "finds no memory": ('echo "std::bad_alloc" >&2; exit 156', "slicer_out_of_memory", r"std::bad_alloc"),
    "finds no space": ('echo "No space left on device" >&2; exit 156', "disk_full", r"disk is full"),
    "writes without end": ("exec cat /dev/zero > $results/plate_1.gcode", "slicer_wrote_too_much", r"wrote without end"),
    "is ended at a limit by a shell": ("exit 153", "slicer_wrote_too_much", r"wrote without end"),
    "talks without end": ("exec yes 'a long line that comes again and again'", "slicer_wrote_too_much", r"again and again"),
}


@pytest.mark.parametrize("how", ENDINGS)
async def test_a_bad_end_has_a_name(bench: Bench, cube: SliceWork, how: str) -> None:
    body, code, words = ENDINGS[how]
    error = await error_of(bench, failing(bench, body), cube, file_bytes=1_000_000)
    assert error.code == code and re.search(words, str(error))


async def test_one_that_hangs(bench: Bench, cube: SliceWork) -> None:
    error = await error_of(bench, failing(bench, "sleep 600 & sleep 600"), cube, timeout_s=1)
    assert error.code == "slicer_timeout" and "timeout_s" in error.hint


async def test_a_crash_after_a_good_result_is_a_crash(bench: Bench, cube: SliceWork) -> None:
    error = await error_of(bench, failing(bench, f"{PLATE}{saying(bench.folder, GOOD)}\nkill -SEGV $$"), cube)
    assert error.code == "slicer_crashed"


# --- whatever is in result.json ----------------------------------------------------------------------------------------
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "id", "warning_message"]), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(result=JSON.map(json.dumps) | st.text(max_size=40), code=st.sampled_from([0, 1, 156, 205, 153, -11]))
def test_whatever_is_in_it_ends_in_words(tmp_path: Path, result: str, code: int) -> None:
    (tmp_path / "plate_1.gcode").write_text("G28")
    (tmp_path / "result.json").write_text(result, errors="surrogatepass")
    try:
        warnings = check_result("OrcaSlicer", Ended(code, None, 1.0, [], ["last words"]), tmp_path)
    except AgentError as error:
        assert error.hint and error.code and str(error).encode() and len(str(error)) < 2000
    else:
        assert code == 0 and json.loads(result)["return_code"] == 0 and all(isinstance(warning, str) for warning in warnings)
