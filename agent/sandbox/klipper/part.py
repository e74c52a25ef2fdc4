"""One process of a machine that is made of several."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from agent.domain.errors import Refused

_ENDS_S = 20
_TOLD = 500


class Part:
    """One process in a group of its own, with its output in a file. It dies with this one, however that ends.

    Not by a death signal: that comes when the *thread* ends that started it, and whoever plays with parts may do so from any.
    """

    def __init__(self, name: str, command: list[str], folder: Path, leftovers: Sequence[Path] = ()) -> None:
        """`leftovers`: what a machine that is killed would leave outside its folder."""
        self.name = name
        self.output = folder / f"{name}.out"
        self._command = command
        self._folder = folder
        self._leftovers = [str(path) for path in leftovers]
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def start(self) -> None:
        assert self._process is None, f"{self.name} runs already"
        # Moonraker names the temporary files of uploads by the second: two of them in one folder mix theirs.
        own = {**os.environ, "TMPDIR": str(self._folder)}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, cwd=self._folder, env=own
            )
        # The pipe ends when this process does, even by SIGKILL.
        guard = ["sh", "-c", 'read _; kill -KILL -"$0"; rm -rf "$@"', str(self._process.pid), *self._leftovers]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)

    def stop(self, *, kindly: bool = False) -> None:
        """As when it crashes; `kindly`, as when its service is stopped."""
        if self._process is not None:
            self.signal(signal.SIGTERM if kindly else signal.SIGKILL)
            self._process.wait(timeout=_ENDS_S)
            self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT: it hangs, and goes on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def require_alive(self) -> None:
        """Refused where it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            last = self.output.read_text(errors="replace")[-_TOLD:].strip()
            raise Refused(f"{self.name} ended: {last}", hint=f"All it said: {self.output}", code="part_ended")
