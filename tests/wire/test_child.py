"""A program under limits: they hold, and nothing it started stays behind."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator
from agent.wire.child import Ended, Limits, Stop, run

ROOT = Path(__file__).parents[2]
ENV = {"PATH": os.environ["PATH"], "MARK": "from the caller"}
LIMITS = Limits(wall_s=30, cpu_s=30, memory_bytes=500_000_000, file_bytes=10_000_000)


async def sh(script: str, folder: Path, on_line: Callable[[str], None] | None = None, **limits: float) -> Ended:
    return await run(["sh", "-c", script], cwd=folder, env=ENV, limits=replace(LIMITS, **limits), on_line=on_line)


async def python(code: str, folder: Path, **limits: float) -> Ended:
    return await run([sys.executable, "-c", code], cwd=folder, env=ENV, limits=replace(LIMITS, **limits))


def gone(pid: int) -> bool:
    """That process has ended, or does so within a moment; also one that is not our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def written_pid(path: Path) -> int:
    """As soon as somebody has written it."""
    for _ in range(500):
        if path.exists() and path.read_text().endswith("\n"):
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError(f"nothing was written to {path}")


# --- a good end --------------------------------------------------------------------------------------------------------
async def test_a_program_ends_and_is_told(tmp_path: Path) -> None:
    heard: list[str] = []
    ended = await sh('echo one; echo two; echo "an error" >&2; pwd; printf "%s" "$MARK"; exit 3', tmp_path, heard.append)
    assert (ended.code, ended.stopped_by, ended.crashed) == (3, None, False)
    assert ended.stdout == heard == ["one", "two", str(tmp_path), "from the caller"]
    assert ended.stderr == ["an error"]
    assert 0 < ended.seconds < 10


async def test_nothing_of_ours_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    ended = await sh('cat; echo "[$SECRET$HOME]"; ls /proc/self/fd | wc -l', tmp_path)
    assert ended.stdout == ["[]", "4"]  # three streams, and the folder that ls reads


async def test_only_the_last_lines_are_kept_but_all_are_heard(tmp_path: Path) -> None:
    heard: list[str] = []
    ended = await sh("seq 1 5000; seq 1 5000 >&2", tmp_path, heard.append)
    assert heard == [str(n) for n in range(1, 5001)]
    assert ended.stdout == ended.stderr == heard[-60:]


async def test_a_long_line_is_cut(tmp_path: Path) -> None:
    ended = await python("print('x' * 300_000); print('y' * 4096); print('short')", tmp_path)
    assert ended.stdout == ["x" * 4096, "y" * 4096, "short"]


async def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert (await sh(r"printf 'a\377b\r\n\nend'", tmp_path)).stdout == ["a\N{REPLACEMENT CHARACTER}b", "", "end"]


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program", ""])
async def test_a_program_that_is_not_there(tmp_path: Path, program: str) -> None:
    with pytest.raises(NeedsOperator, match="is not installed") as error:
        await run([program], cwd=tmp_path, env=ENV, limits=LIMITS)
    assert error.value.code == "not_installed"


# --- limits ------------------------------------------------------------------------------------------------------------
async def test_memory(tmp_path: Path) -> None:
    ended = await python("eaten = bytes(400_000_000)", tmp_path, memory_bytes=300_000_000)
    assert ended.code == 1 and ended.stderr[-1] == "MemoryError"
    assert (await python("eaten = bytes(400_000_000)", tmp_path, memory_bytes=1_000_000_000)).code == 0


async def test_cpu_time(tmp_path: Path) -> None:
    ended = await sh("echo counting; while :; do :; done", tmp_path, cpu_s=1)
    assert (ended.code, ended.stopped_by, ended.crashed) == (-signal.SIGXCPU, Stop.CPU_TIME, False)
    assert ended.stdout == ["counting"]


async def test_wall_time(tmp_path: Path) -> None:
    ended = await sh("echo waiting; sleep 600", tmp_path, wall_s=0.5)
    assert (ended.code, ended.stopped_by, ended.crashed) == (-signal.SIGKILL, Stop.WALL_TIME, False)
    assert 0.5 <= ended.seconds < 10 and ended.stdout == ["waiting"]


async def test_file_size(tmp_path: Path) -> None:
    ended = await sh("exec cat /dev/zero > big", tmp_path, file_bytes=1_000_000)
    assert (ended.code, ended.stopped_by, ended.crashed) == (-signal.SIGXFSZ, Stop.FILE_SIZE, False)
    assert (tmp_path / "big").stat().st_size == 1_000_000


async def test_file_size_seen_through_a_shell(tmp_path: Path) -> None:
    ended = await sh("cat /dev/zero > big; exit $?", tmp_path, file_bytes=1_000_000)
    assert (ended.code, ended.stopped_by) == (128 + signal.SIGXFSZ, Stop.FILE_SIZE)


@pytest.mark.parametrize("to", ["1", "2"])
async def test_output(tmp_path: Path, to: str) -> None:
    ended = await sh(f"exec yes >&{to}", tmp_path, output_bytes=200_000)
    assert (ended.stopped_by, ended.crashed) == (Stop.OUTPUT, False)
    assert (ended.stdout or ended.stderr) == ["y"] * 60


async def test_no_core_is_written_and_others_go_first(tmp_path: Path) -> None:
    ended = await sh("ulimit -c; nice", tmp_path)
    assert ended.stdout == ["0", str(os.nice(0) + 5)]


@pytest.mark.parametrize("end", ["kill -SEGV $$", "kill -ABRT $$", "sh -c 'kill -SEGV $$'; exit $?", "exit 134"])
async def test_a_crash(tmp_path: Path, end: str) -> None:
    ended = await sh(end, tmp_path)
    assert ended.crashed and ended.stopped_by is None


# --- nothing stays behind ----------------------------------------------------------------------------------------------
async def test_its_children_end_with_it(tmp_path: Path) -> None:
    ended = await sh("sleep 600 & echo $!; exit 0", tmp_path)
    assert ended.code == 0 and ended.seconds < 10
    assert gone(int(ended.stdout[0]))


async def test_one_that_left_the_group_is_not_waited_for(tmp_path: Path) -> None:
    """It holds the pipes open for as long as it likes."""
    ended = await sh("setsid sleep 20 & echo $!", tmp_path)
    left = int(ended.stdout[0])
    try:
        assert ended.code == 0 and ended.seconds < 10
    finally:
        os.kill(left, signal.SIGKILL)


async def test_one_that_left_the_group_of_a_program_that_hangs(tmp_path: Path) -> None:
    ended = await sh("setsid sleep 20 & echo $!; sleep 600", tmp_path, wall_s=0.5)
    os.kill(int(ended.stdout[0]), signal.SIGKILL)
    assert ended.stopped_by is Stop.WALL_TIME and ended.seconds < 10


async def test_a_cancelled_caller_kills(tmp_path: Path) -> None:
    started: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(sh("sleep 600 & echo $!; echo $$; wait", tmp_path, started.put_nowait))
    pids = [int(await started.get()) for _ in range(2)]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(map(gone, pids))


async def test_a_listener_that_raises_kills_and_is_heard(tmp_path: Path) -> None:
    pids: list[int] = []

    def listen(line: str) -> None:
        pids.append(int(line))
        raise LookupError(line)

    with pytest.raises(LookupError):
        await sh("echo $$; sleep 600", tmp_path, listen)
    assert gone(pids[0])


PARENT = """
import asyncio, os
from pathlib import Path
from agent.wire.child import Limits, run
limits = Limits(wall_s=600, cpu_s=600, memory_bytes=1_000_000_000, file_bytes=1_000)
program = ["sh", "-c", "echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 600"]
asyncio.run(run(program, cwd=Path.cwd(), env=dict(os.environ), limits=limits))
"""


def test_it_dies_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    daemon = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env={**ENV, "PYTHONPATH": str(ROOT)})
    try:
        pid = written_pid(tmp_path / "pid")
    finally:
        daemon.kill()
        daemon.wait()
    assert gone(pid)
