"""Work on large files, done by a process of its own so that the daemon's loop is not held."""

import sys
from pathlib import Path

from agent.domain.errors import NeedsOperator
from agent.slicers.endings import last_words
from agent.slicers.engine import environment
from agent.wire.child import Limits, run

IN_PROCESS_BYTES = 2_000_000
_ROOT = Path(__file__).parents[2]


def is_small(size: int) -> bool:
    """Meshes and G-code of so many bytes are handled in a thread."""
    return size <= IN_PROCESS_BYTES


async def in_own_process(module: str, folder: Path, limits: Limits, *names: str) -> None:
    """Our own code under the slicer's limits, reading and writing in the work folder; it fails only where the machine does."""
    env = environment(folder) | {"PYTHONPATH": str(_ROOT)}
    ended = await run([sys.executable, "-s", "-P", "-m", module, *names], cwd=folder, env=env, limits=limits)
    if ended.code != 0:
        full = "No space left" in (words := last_words(ended))
        raise NeedsOperator(
            f"{module} failed (exit {ended.code}). {words}",
            hint="Free some space." if full else "Is the machine short of memory or time? See [slicing] memory_mb and timeout_s.",
            code="disk_full" if full else "child_failed",
        )
