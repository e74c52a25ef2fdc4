"""The child process files are judged in: `python -m agent.meshes.worker IDLE_SECONDS`, JSON lines on stdin and stdout.

It imports numpy once and forks for every file, so one file cannot poison the next and none pays for the import. The fork gets hard
limits before it opens anything. The worker leaves when it had nothing to do for a while, at the end of its input, and when its
parent dies; a daemon that waits for orders carries none of its weight.

→ {"path", "name", "output", "alone",          a file to read, what its sender calls it, where the canonical STL goes ("" for
   "limits": […]}                              nowhere), whether a better side is looked for where it stands badly, a Limits
← {"verdict", "reasons", "triangles", …}       as in MeshReport; "written" tells whether there is a canonical STL
→ {"turn", "by", "output", "limits": […]}      a canonical STL, the turn's rows, where the canonical STL on that side goes
← {"written": true}
→ {"draw", "into", "limits": […]}              a canonical STL, and for each view where its picture goes
← {"drawn": [view, …]}
← {"died": code} · {"unreadable": why} · {"disk_full": why}
"""

import ctypes
import errno
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from agent.domain.standing import stands_badly
from agent.meshes.advice import stance
from agent.meshes.checks import Judgement, judge
from agent.meshes.formats import read_model
from agent.meshes.limits import Limits
from agent.meshes.picture import render
from agent.meshes.poses import better_poses, turned
from agent.meshes.reading import UnreadableModel
from agent.meshes.stl import read_stl, write_canonical
from agent.meshes.views import SIZE_PX, View

OUT_OF_MEMORY = 77
"""Exit code of a fork whose allocation failed; negative codes are signals."""

_ANSWER_MOST = 1 << 16
_OPEN_FILES = 32
_NICENESS = 5
"""As a slicer's: an offer is answered, a printer is watched first."""
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def main() -> None:
    idle_s = float(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    # An ordinary user leaves the network through a user namespace of its own. Where the system forbids that, too, we stay in.
    alone = libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _say({"ready": True, "network": not alone})
    while select.select([sys.stdin], [], [], idle_s)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        _say(_in_fork(json.loads(line), libc))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _in_fork(request: dict[str, Any], libc: ctypes.CDLL) -> dict[str, Any]:
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _run_fork(request, there)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        answer = pipe.read(_ANSWER_MOST)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return dict(json.loads(answer)) if code == 0 else {"died": code}


def _run_fork(request: dict[str, Any], pipe: int) -> None:
    """Answers into the pipe and exits. Any error but these is a bug: it ends this fork with its traceback on stderr."""
    limits = Limits(*request["limits"])
    _limit(limits)
    os.nice(_NICENESS)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    try:
        answer = _work(request, limits)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    os.write(pipe, json.dumps(answer).encode())
    os._exit(0)


def _limit(limits: Limits) -> None:
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, 84 + 50 * limits.max_facets),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _work(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    try:
        if "draw" in request:
            os.nice(_NICENESS)  # once more: nobody waits for a picture, and the slicer works meanwhile
            return {"drawn": _drawn(Path(request["draw"]), request["into"], limits)}
        if "turn" in request:
            return _turned(Path(request["turn"]), request["by"], Path(request["output"]), limits)
        return _answer(request, limits)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return {"disk_full": error.strerror}
        raise


def _drawn(mesh: Path, into: dict[View, str], limits: Limits) -> list[View]:
    corners = read_stl(mesh, limits)
    for view, output in into.items():
        Path(output).write_bytes(render(corners, view, SIZE_PX))
    return list(into)


def _turned(mesh: Path, by: list[list[float]], output: Path, limits: Limits) -> dict[str, Any]:
    write_canonical(output, turned(read_stl(mesh, limits), np.array(by)))
    return {"written": True}


def _answer(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    try:
        model = read_model(Path(request["path"]), request["name"], limits)
    except UnreadableModel as refused:
        return {"verdict": "reject", "reasons": [{"code": refused.code, "text": str(refused)}]}
    except OSError as error:
        return {"unreadable": error.strerror or str(error)}
    judgement = judge(model.corners, limits.max_shells)
    judgement = judgement._replace(findings=[*model.findings, *judgement.findings])
    del model
    return {**_told(judgement), **_stances(judgement, request["alone"]), "written": _written(judgement, request["output"])}


def _told(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict,
        "reasons": [{"code": finding.code, "text": finding.text} for finding in judgement.findings],
        "triangles": judgement.triangles,
        "bounding_box_mm": judgement.box_mm,
        "volume_mm3": judgement.volume_mm3,
        "shells": judgement.shells,
    }


def _stances(judgement: Judgement, alone: bool) -> dict[str, Any]:
    """A person looks at what is held, and its surface may be open: nothing is advised there."""
    corners, box = judgement.corners, judgement.box_mm
    if corners is None or judgement.verdict not in ("print", "repaired"):
        return {"stance": None}
    lies = stance(corners, box[2])
    poses = better_poses(corners) if alone and stands_badly(lies, box) else []
    better = [{"turn": pose.turn.tolist(), "bounding_box_mm": pose.box_mm, "stance": pose.stance._asdict()} for pose in poses]
    return {"stance": lies._asdict(), "better_poses": better}


def _written(judgement: Judgement, output: str) -> bool:
    if judgement.corners is None or not output:
        return False
    write_canonical(Path(output), judgement.corners)
    return True


if __name__ == "__main__":
    main()
