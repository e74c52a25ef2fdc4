"""What a Bambu printer says, read whatever it says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.printer import MaterialSlot
from agent.printers.bambu import codes, commands
from agent.printers.bambu.jobs import Jobs
from agent.printers.bambu.report import RESTING, Report, merged, parsed

FULL = {"command": "push_status", "msg": 0, "gcode_state": "IDLE", "subtask_name": "", "subtask_id": "0", "print_error": 0, "hms": []}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "gcode_state", "subtask_name", "subtask_id", "gcode_file", "mc_percent", "mc_remaining_time", "print_error", "hms", "stg_cur", "fun",
    "ams", "vt_tray", "nozzle_temper", "bed_temper", "nozzle_target_temper", "bed_target_temper",
]  # fmt: skip


def tray(number: object, kind: str = "PLA", color: str = "FF0000FF", remain: object = 80) -> dict[str, Any]:
    return {"id": number, "tray_type": kind, "tray_color": color, "remain": remain}


def test_a_delta_changes_only_what_it_names() -> None:
    report = Report()
    report.hear({**FULL, "ams": {"ams": [{"id": "0", "tray": [tray("0")]}], "tray_now": "255"}})
    report.hear({"command": "push_status", "msg": 1, "gcode_state": "RUNNING", "ams": {"tray_now": "0"}})
    assert report.state == "RUNNING"
    assert [slot.slot for slot in report.trays().values()] == ["A1"], "a shallow merge loses the AMS"


def test_a_list_is_replaced_as_a_whole() -> None:
    assert merged({"hms": [1, 2], "a": {"b": {"c": 1}}}, {"hms": [], "a": {"b": {"d": 2}}}) == {"hms": [], "a": {"b": {"c": 1, "d": 2}}}


@given(old=st.dictionaries(st.text(max_size=3), ANY_JSON, max_size=4), new=st.dictionaries(st.text(max_size=3), ANY_JSON, max_size=4))
def test_merging_the_same_again_changes_nothing(old: dict[str, Any], new: dict[str, Any]) -> None:
    once = merged(old, new)
    assert repr(merged(once, new)) == repr(once)
    assert old.keys() | new.keys() == once.keys()


@given(said=st.dictionaries(st.sampled_from(FIELDS), ANY_JSON))
def test_no_json_breaks_it(said: dict[str, Any]) -> None:
    report, jobs = Report(), Jobs()
    for push in (FULL, said):
        report.hear(push)
        jobs.hear(report, 0.0)
        jobs.seen(report, 1.0)
    report.trays(), report.holder(), report.temperatures(), report.hms, report.wants_signatures, report.ran_out
    assert 0 <= report.progress <= 1


@given(payload=st.binary(max_size=200))
def test_no_payload_breaks_it(payload: bytes) -> None:
    found = parsed(payload)
    assert found is None or isinstance(found, dict)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"print": {"a": 1}}\x00', {"print": {"a": 1}}),
        (b'{"print": {"a": "\xff\xfe"}}', {"print": {"a": "\ufffd\ufffd"}}),
        (b'{"print": {"a": 1', None),
        (b"[1, 2]", None),
        (b"", None),
        (b"[" * 100_000, None),
        (b'{"n": ' + b"9" * 5000 + b"}", None),
        (b'{"n": "' + b"x" * 3_000_000 + b'"}', None),
    ],
    ids=["ends in NUL", "no UTF-8", "cut off", "no object", "empty", "too deep", "too many digits", "too long"],
)
def test_broken_payloads(payload: bytes, found: object) -> None:
    assert parsed(payload) == found


def test_a_name_without_endings_is_given_them_back() -> None:
    """As a file that a person starts at the printer's screen."""
    report = Report({**FULL, "subtask_name": "o-1-1-0123abcd", "gcode_file": "/data/o-1-1-0123abcd.gcode.3mf"})
    assert report.name == "o-1-1-0123abcd.gcode"
    assert Report({**FULL, "subtask_name": "Benchy", "gcode_file": "Benchy.gcode.3mf"}).name == "Benchy"


def test_a_name_that_was_broken_on_the_way_is_no_other_job() -> None:
    report = Report({**FULL, "subtask_name": "ours", "subtask_id": "7"})
    report.hear({"subtask_name": "\ufffd\ufffd", "subtask_id": "7"})
    assert report.name == "ours"
    report.hear({"subtask_name": "\ufffd\ufffd", "subtask_id": "0"})
    assert report.name == "\ufffd\ufffd", "another job, with a name nobody can read"


def test_slots_with_their_colours() -> None:
    units = [
        {"id": "0", "tray": [tray("0"), {"id": "1"}, tray("2", "PETG", "1A1A1AFF", -1), tray("9"), "?"]},
        {"id": 1, "tray": [tray(3, color="no colour", remain=0)]},
        {"id": "128", "tray": [tray("0", "ABS")]},
        {"id": "77", "tray": [tray("0")]},
        {"id": "2", "tray": "none"},
        17,
    ]
    report = Report({**FULL, "ams": {"ams": units}, "vt_tray": tray("254", "TPU", "00FF00FF", 0)})
    assert report.trays() == {
        0: MaterialSlot(slot="A1", material="PLA", color_hex="#ff0000", remaining_percent=80),
        2: MaterialSlot(slot="A3", material="PETG", color_hex="#1a1a1a"),
        7: MaterialSlot(slot="B4", material="PLA"),
        128: MaterialSlot(slot="HT1", material="ABS", color_hex="#ff0000", remaining_percent=80),
    }
    assert report.holder() == MaterialSlot(slot="external", material="TPU", color_hex="#00ff00")


@pytest.mark.parametrize(("fun", "wants"), [("20000000", True), ("DFFFFFFF", False), (None, None), ("", None), (7, False)])
def test_whether_developer_mode_is_off(fun: object, wants: bool | None) -> None:
    assert Report({**FULL, "fun": fun}).wants_signatures is wants


def test_codes() -> None:
    assert Report({**FULL, "print_error": 0x0300400C}).error == "0300400C"
    assert Report({**FULL, "print_error": 0x03000001}).error == "", "a phase, not an error"
    assert Report({**FULL, "hms": [{"attr": 83887360, "code": 65543}, "?", {"attr": 1}]}).hms == {codes.HMS_DEVELOPER_MODE}
    assert codes.told("07008011") == "the filament has run out (0700-8011)"
    assert codes.told("0500050000010007").endswith("(0500-0500-0001-0007)")


@given(name=st.from_regex(r"[a-z0-9]{1,20}-1-1-[0-9a-f]{8}\.gcode", fullmatch=True), state=st.sampled_from(RESTING))
def test_an_id_says_how_the_printer_stood(name: str, state: str) -> None:
    minted = commands.minted_id(name, state)
    assert 1 <= minted <= 2**31 - 1
    assert commands.state_before(name, str(minted)) == state


def test_other_ids_say_nothing() -> None:
    name = "o-1-1-0123abcd.gcode"
    foreign = ["", "0", "-1", "1790000001x", "9" * 40, "²", "99999999999"]
    assert [commands.state_before(name, job_id) for job_id in foreign] == [None] * len(foreign)
    assert sum(commands.state_before(name, str(job_id)) is not None for job_id in range(1_790_000_000, 1_790_010_000)) < 30


def test_ids_are_fresh() -> None:
    assert len({commands.minted_id("o-1-1-0123abcd.gcode", "FINISH") for _ in range(100)}) > 95


def test_a_start_as_it_is_sent() -> None:
    command = commands.project_file("job-1.gcode", "job-1.gcode.3mf", "file:///sdcard/{file}", 77, commands.Spool(6))
    body = json.loads(command.payload)["print"]
    assert body["url"] == "file:///sdcard/job-1.gcode.3mf"
    assert (body["subtask_name"], body["subtask_id"], body["task_id"]) == ("job-1.gcode", "77", "77")
    assert body["use_ams"] is True
    assert (body["ams_mapping"], body["ams_mapping2"]) == ([6], [{"ams_id": 1, "slot_id": 2}])
    held = json.loads(commands.project_file("j", "j.3mf", "ftp:///{file}", 1, commands.Spool()).payload)["print"]
    assert (held["use_ams"], held["ams_mapping"], held["ams_mapping2"]) == (False, [-1], [{"ams_id": 255, "slot_id": 0}])
    assert command.sequence_id == body["sequence_id"] != held["sequence_id"]
