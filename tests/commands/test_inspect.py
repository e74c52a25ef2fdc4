"""`intagly-agent inspect`: models and folders of them, told one by one, with pictures."""

import asyncio
import errno
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result
from PIL import Image

import agent.commands.inspect as command
from agent.domain.mesh import MeshReport, Reason, Verdict
from agent.meshes import inspector
from agent.meshes.inspector import inspect_files
from agent.sandbox.models import box, cube, inch_cube, open_cube, write_binary_stl


@pytest.fixture(autouse=True)
def no_debug_lines_on_stdout() -> Iterator[None]:
    """As the command's caller sees to it: structlog's own default is to print everything there."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**before)


def inspected(*arguments: object) -> Result:
    return CliRunner().invoke(command.inspect, [str(argument) for argument in arguments])


def answer(result: Result, code: int) -> list[dict[str, Any]]:
    assert result.exit_code == code, result.output
    files = json.loads(result.stdout)["files"]
    assert isinstance(files, list)
    return files


def rows(result: Result) -> list[list[str]]:
    """Verdict and file of each line that is not a reason."""
    return [[line[:9].strip(), line[9:].split("  ")[0]] for line in result.stdout.splitlines() if not line.startswith(" ")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Models, at three depths, among other things."""
    root = tmp_path / "parts"
    for name in ("b.stl", "a.STL", "deep/deeper/c.Stl", ".hidden.stl", ".trash/d.stl", "deep/._e.stl"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_binary_stl(path, cube(20))
    (root / "readme.txt").write_text("not a model")
    (root / "stl").write_text("no ending")
    (root / "deep" / "circle").symlink_to(root)
    return root


# --- which files -------------------------------------------------------------------------------------------------------
def test_a_folder_means_the_models_in_it_and_below_but_not_the_hidden_ones(folder: Path) -> None:
    told = inspected(folder)
    assert told.exit_code == 0
    assert rows(told)[:-1] == [["print", str(folder / name)] for name in ("a.STL", "b.stl", "deep/deeper/c.Stl")]
    assert told.stdout.splitlines()[-1] == "3 models: 3 print"
    hidden = folder / ".hidden.stl"
    assert [row["file"] for row in answer(inspected(hidden, folder / "b.stl", folder / "b.stl", "--json"), 0)] == [
        str(hidden),
        str(folder / "b.stl"),
    ], "a file that is named is meant, once"


def test_3mf_and_obj_are_models_too(tmp_path: Path) -> None:
    for name in ("a.3mf", "b.OBJ", "c.stp"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    assert [row["file"] for row in answer(inspected(tmp_path, "--json"), 1)] == [str(tmp_path / "a.3mf"), str(tmp_path / "b.OBJ")]


def test_what_is_missing_is_told_in_one_line_and_the_rest_is_judged(folder: Path, tmp_path: Path) -> None:
    absent, empty = tmp_path / "absent.stl", tmp_path / "empty"
    empty.mkdir()
    told = inspected(absent, empty, folder / "b.stl")
    assert told.exit_code == 1
    assert told.stdout.splitlines()[0] == f"hold     {absent}  UNREADABLE: The file cannot be read: No such file or directory."
    assert rows(told)[1] == ["print", str(folder / "b.stl")]
    assert told.stderr == f"{empty} holds no models (.stl, .3mf, .obj).\n"
    assert [row["verdict"] for row in answer(inspected(empty, folder / "b.stl", "--json"), 1)] == ["print"]


def test_a_folder_that_may_not_be_read_is_told_and_the_rest_is_judged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def guarded(path: str) -> Any:  # root may read everything, and tests may run as root
        if str(path) == str(folder / "deep"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    told = inspected(folder)
    assert told.exit_code == 1
    assert told.stderr == f"{folder / 'deep'} cannot be read: Permission denied.\n"
    assert rows(told)[:-1] == [["print", str(folder / "a.STL")], ["print", str(folder / "b.stl")]]


def test_a_name_that_holds_anything_is_one_line_and_valid_json(tmp_path: Path) -> None:
    name = "a\nreject  b\x1b[31m\u202ecd\udcff.stl"
    write_binary_stl(tmp_path / name, cube(20))
    (line,) = inspected(tmp_path / name).stdout.splitlines()
    assert line.startswith("print") and "\x1b" not in line and "\u202e" not in line
    (row,) = answer(inspected(tmp_path, "--json"), 0)
    assert row["file"] == str(tmp_path / name)


# --- what is told ------------------------------------------------------------------------------------------------------
def test_each_model_has_its_facts_and_below_them_its_reasons(tmp_path: Path) -> None:
    write_binary_stl(tmp_path / "a.stl", box(120, 30.5, 4))
    write_binary_stl(tmp_path / "b.stl", open_cube(20))
    write_binary_stl(tmp_path / "c.stl", inch_cube())
    (tmp_path / "d.stl").write_text("<!DOCTYPE html><html></html>")
    told = inspected(tmp_path)
    assert told.exit_code == 1
    lines = told.stdout.splitlines()
    assert lines[0] == f"print    {tmp_path / 'a.stl'}  120 × 30.5 × 4 mm, 14.64 cm³, 12 triangles"
    assert lines[1].startswith(f"repaired {tmp_path / 'b.stl'}  20 × 20 × 20 mm, 8 cm³, 11 triangles")
    assert lines[2].startswith("         HOLES: ")
    assert lines[3].startswith(f"hold     {tmp_path / 'c.stl'}  1 × 1 × 1 mm, 1 mm³")
    assert lines[4].startswith("         UNITS: ")
    assert lines[5].startswith(f"reject   {tmp_path / 'd.stl'}  NOT_STL: ")
    assert lines[6] == "4 models: 1 print, 1 repaired, 1 hold, 1 reject"


def test_each_file_is_told_as_soon_as_it_is_judged(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told_before: list[str] = []

    async def judged(paths: Sequence[Path], **_: object) -> AsyncIterator[tuple[Path, MeshReport]]:
        for path in paths:
            told_before.append(capsys.readouterr().out)
            yield path, MeshReport(sha256="", verdict=Verdict.REJECT, reasons=[Reason(code="EMPTY", text="The file is empty.")])

    monkeypatch.setattr(command, "inspect_files", judged)
    with pytest.raises(SystemExit):
        command.inspect(["a.stl", "b.stl", "c.stl"])
    assert told_before == ["", "reject   a.stl  EMPTY: The file is empty.\n", "reject   b.stl  EMPTY: The file is empty.\n"]


def test_a_terminal_shows_a_bar_and_a_pipe_none(folder: Path) -> None:
    here, there = pty.openpty()
    call = [sys.executable, "-m", "agent", "inspect", str(folder)]
    done = subprocess.run(call, stdout=subprocess.PIPE, stderr=there, env={**os.environ, "TERM": "xterm"}, check=False)
    os.close(there)
    shown = os.read(here, 1 << 16).decode()
    os.close(here)
    assert "3/3" in shown and "c.Stl" in shown and str(folder) not in shown
    assert done.stdout.decode().splitlines()[-1] == "3 models: 3 print" and b"\x1b" not in done.stdout
    here, there = pty.openpty()
    subprocess.run(call, stdout=there, stderr=there, env={**os.environ, "TERM": "xterm"}, check=True)
    os.close(there)
    shown = os.read(here, 1 << 16).decode()
    os.close(here)
    assert "3/3" in shown
    for name in ("a.STL", "b.stl", "c.Stl"):
        assert re.search(rf"(\r|\n|\x1b\[2K)(\x1b\[\d*m)*print +(\x1b\[\d*m)* ?/[^\r\n]*{name}  20 ×", shown), (
            f"a line begins where the bar was: {shown!r}"
        )
    piped = subprocess.run(call, capture_output=True, check=False)
    assert (piped.stdout, piped.stderr, piped.returncode) == (done.stdout, b"", 0)


# --- pictures ----------------------------------------------------------------------------------------------------------
def test_pictures_lie_in_the_folder_named_after_their_models(tmp_path: Path) -> None:
    out = tmp_path / "out" / "pictures"
    for name in ("x/part.stl", "y/part.stl", "z/part-2.stl", "z/" + 240 * "n" + ".stl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_binary_stl(tmp_path / name, cube(20))
    (tmp_path / "z" / "zero.stl").write_bytes(b"")
    told = answer(inspected(tmp_path / "x", tmp_path / "y", tmp_path / "z", "--pictures", out, "--json"), 1)
    names = ["part", "part-2", 200 * "n", "part-2-2"]
    assert [row["pictures"] for row in told] == [
        *({view: str(out / f"{name}-{view}.png") for view in ("isometric", "top")} for name in names),
        {},
    ]
    assert len(list(out.iterdir())) == 8, "nothing else is left there"
    for path in out.iterdir():
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            assert picture.size == (480, 480) and picture.convert("RGBA").getextrema()[3] == (0, 255)


def test_a_picture_of_an_earlier_file_does_not_stay(tmp_path: Path) -> None:
    out, model = tmp_path / "out", write_binary_stl(tmp_path / "a.stl", cube(20))
    inspected(model, "--pictures", out)
    assert len(list(out.iterdir())) == 2
    model.write_bytes(b"")
    inspected(model, "--pictures", out)
    assert list(out.iterdir()) == []


def test_a_folder_for_pictures_that_cannot_be_is_told_before_the_work(tmp_path: Path) -> None:
    model = write_binary_stl(tmp_path / "a.stl", cube(20))
    done = subprocess.run(
        [sys.executable, "-m", "agent", "inspect", str(model), "--pictures", str(model / "below")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert "cannot be made: Not a directory" in done.stderr and "--pictures" in done.stderr


# --- speed -------------------------------------------------------------------------------------------------------------
def test_several_processes_work_and_the_order_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "_AHEAD", 5)
    paths = [write_binary_stl(tmp_path / f"{n}.stl", cube(10 + n)) for n in range(20)]

    async def found() -> tuple[list[float], int]:
        sizes, workers = [], 0
        async for _, report in inspect_files(paths, workers=2):
            children = " ".join(file.read_text() for file in Path("/proc/self/task").glob("*/children"))
            workers = max(workers, len(children.split()))
            sizes.append(report.bounding_box_mm[0])
        return sizes, workers

    sizes, workers = asyncio.run(found())
    assert sizes == [10 + n for n in range(20)]
    assert workers >= 2


def test_it_loads_nothing_of_the_daemon() -> None:
    heavy = (
        "numpy",
        "sqlalchemy",
        "httpx",
        "requests",
        "paho",
        "octorest",
        "starlette",
        "agent.config.load",
        "agent.wiring",
        "agent.workflow",
    )
    code = f"import sys, agent.cli, agent.commands.inspect; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
