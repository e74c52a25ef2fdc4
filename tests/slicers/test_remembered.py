"""What a program said is remembered for that very file only, and never in anybody's way."""

import os
import shutil
from pathlib import Path

import pytest

from agent.slicers.prusaslicer import PrusaSlicer
from agent.slicers.remembered import Remembered, cache_dir

SAID = {"version": "Slicer 1"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "slicer"
    made.write_bytes(b"\x7fELF, as a program begins")
    return made


def test_what_was_kept_is_known_to_the_next_command(tmp_path: Path, program: Path) -> None:
    Remembered("slicer", tmp_path / "cache").keep(program, SAID)
    assert Remembered("slicer", tmp_path / "cache").of(program) == SAID
    assert Remembered("other", tmp_path / "cache").of(program) is None


def test_another_file_is_asked_also_where_it_looks_the_same(tmp_path: Path, program: Path) -> None:
    remembered, was = Remembered("slicer", tmp_path / "cache"), program.stat()
    remembered.keep(program, SAID)
    other = shutil.copy2(program, tmp_path / "new")
    other.replace(program)
    os.utime(program, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (program.stat().st_mtime_ns, program.stat().st_size) == (was.st_mtime_ns, was.st_size)
    assert remembered.of(program) is None


def test_a_script_is_asked_every_time(tmp_path: Path, program: Path) -> None:
    program.write_text("#!/bin/sh\nexec /opt/slicer-of-today\n")
    remembered = Remembered("slicer", tmp_path / "cache")
    remembered.keep(program, SAID)
    assert remembered.of(program) is None


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"file": 1}', '{"said": {}}', "null", "\0"])
def test_what_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, program: Path, kept: str) -> None:
    (tmp_path / "slicer.json").write_text(kept)
    assert Remembered("slicer", tmp_path).of(program) is None


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path, program: Path) -> None:
    (tmp_path / "file").touch()
    remembered = Remembered("slicer", tmp_path / "file" / "cache")
    remembered.keep(program, SAID)
    assert remembered.of(program) is None


def test_the_cache_is_where_the_user_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "intagly-agent"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "intagly-agent"


def test_prusaslicer_is_not_started_for_what_it_said_before(tmp_path: Path) -> None:
    program = Path(shutil.which("prusa-slicer") or "")
    Remembered("prusaslicer", tmp_path).keep(program, {"version": "from the cache", "choices": {}})
    assert PrusaSlicer(cache_dir=tmp_path).version() == "from the cache"
    Remembered("prusaslicer", tmp_path).keep(program, {"version": "of an agent that kept other things"})
    first = PrusaSlicer(cache_dir=tmp_path).version()
    assert first.startswith("PrusaSlicer-")
    assert (Remembered("prusaslicer", tmp_path).of(program) or {})["version"] == first == PrusaSlicer().version()
