"""Asking a Python module in a process of its own that is shut in: for libraries that read what nobody trusts.

One question a process, so nothing hostile meets the next file; its answer is one line of JSON on stdout. The limits are the
kernel's (`agent.wire.child`); besides, the process leaves the network, gains no privileges and starts no other.
"""

import ctypes
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.wire.child import Limits, run

_ROOT = Path(__file__).parents[2]
_ENV = {
    "PYTHONPATH": str(_ROOT),
    "LC_ALL": "C.UTF-8",
    # A stack for every core would count against the limit on memory.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_OPEN_FILES = 64


class Died(Exception):
    """It ended without an answer: by a limit, by a signal, or by a fault of its own. The text says which, for the log."""


async def ask(module: str, arguments: Sequence[str], limits: Limits) -> dict[str, Any]:
    """What `python -m module arguments` answers. Died where it does not."""
    ended = await run([sys.executable, "-s", "-P", "-m", module, *arguments], cwd=Path("/"), env=_ENV, limits=limits)
    if ended.code != 0 or not ended.stdout:
        why = str(ended.stopped_by or (ended.stderr[-1] if ended.stderr else "nothing was said"))
        raise Died(f"{module} ended with {ended.code} after {ended.seconds:.1f} s: {why}")
    answer: dict[str, Any] = json.loads(ended.stdout[-1])
    return answer


def confine() -> None:
    """The first thing that such a process does."""
    libc = ctypes.CDLL(None, use_errno=True)
    # An ordinary user leaves the network through a user namespace of its own. Where the system forbids that, too, we stay in.
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def answer(told: dict[str, Any]) -> None:
    """The last thing."""
    sys.stdout.write(json.dumps(told) + "\n")
