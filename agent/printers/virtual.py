"""A printer that is not there: it walks the real G-code's timeline at a chosen speed.

Its state is a pure function of a journal on disk and the clock, so its prints go on while the agent is down and are found again after
a restart, as with a real machine. For trying the agent out, for demos and for tests.
"""

import asyncio
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Self

from pydantic import ValidationError

from agent.domain.errors import Refused
from agent.domain.printer import PrinterFacts, PrinterObservation, PrinterState
from agent.domain.values import Value
from agent.printers import names

_What = Literal["uploaded", "started", "paused", "resumed", "cancelled", "failed"]
_ENDS: dict[_What, tuple[PrinterState, str]] = {
    "cancelled": (PrinterState.CANCELLED, "cancelled"),
    "failed": (PrinterState.FAILED, "the print went wrong"),
}
_SLOWEST_MM_S = 0.1


class _Act(Value):
    """One line of the journal. `at` in seconds since the epoch; `seconds`: how long the print that starts here takes at this speed."""

    at: float
    what: _What
    name: str
    seconds: float = 0.0


@dataclass
class _Job:
    """What the journal says of one print, in the same units. `stopped_at`: when it was paused or ended before its time."""

    name: str
    seconds: float
    began: float
    stopped_at: float | None = None
    paused_for: float = 0.0
    end: PrinterState | None = None
    reason: str = ""

    def elapsed(self, now: float) -> float:
        until = now if self.stopped_at is None else self.stopped_at
        return max(0.0, until - self.began - self.paused_for)  # a clock that was set back moves no print back before its start

    def observed(self, now: float) -> PrinterObservation:
        done = min(1.0, self.elapsed(now) / self.seconds) if self.seconds else 1.0
        if self.end is not None:
            return PrinterObservation(state=self.end, remote_name=self.name, progress=done, reason=self.reason)
        if self.stopped_at is not None:
            return PrinterObservation(state=PrinterState.PAUSED, remote_name=self.name, progress=done, reason="paused")
        if done >= 1.0:
            return PrinterObservation(state=PrinterState.FINISHED, remote_name=self.name, progress=1.0)
        left = math.ceil(self.seconds * (1 - done))
        return PrinterObservation(state=PrinterState.PRINTING, remote_name=self.name, progress=done, seconds_left=left)

    def apply(self, act: _Act) -> None:
        if act.what == "paused":
            self.stopped_at = act.at
        elif act.what == "resumed" and self.stopped_at is not None:
            self.paused_for, self.stopped_at = self.paused_for + act.at - self.stopped_at, None
        elif act.what in _ENDS:
            self.end, self.reason = _ENDS[act.what]
            self.stopped_at = act.at if self.stopped_at is None else self.stopped_at


class VirtualPrinter:
    """Implements ports.printer.Printer. `speed` 60: an hour of printing takes a minute."""

    def __init__(self, facts: PrinterFacts, state_dir: Path, speed: float = 1.0, now: Callable[[], float] = time.time) -> None:
        self._facts = facts
        self._files = state_dir / "files"
        self._journal = state_dir / "journal.jsonl"
        self._speed = speed
        self._now = now

    @property
    def facts(self) -> PrinterFacts:
        return self._facts

    async def __aenter__(self) -> Self:
        self._files.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    async def observe(self) -> PrinterObservation:
        return self._seen()

    async def upload(self, gcode: Path, remote_name: str) -> None:
        target, job = self._files / names.safe(remote_name), self._jobs().get(remote_name)
        if job is not None and job.observed(self._now()).busy:
            raise Refused(f"{self._facts.name} is printing {remote_name}.", code="busy")
        await asyncio.to_thread(_copy_whole, gcode, target)
        self._write("uploaded", remote_name)

    async def start(self, remote_name: str) -> None:
        file = self._files / names.safe(remote_name)
        if not file.is_file():
            raise Refused(f"{self._facts.name} has no file {remote_name}.", code="no_file")
        seconds = await asyncio.to_thread(duration_s, file)
        # From here on nothing is awaited: of two starts at once, one finds the other's.
        seen = self._seen()
        if not seen.busy:
            self._write("started", remote_name, seconds / self._speed)
        elif seen.remote_name != remote_name:
            raise Refused(f"{self._facts.name} is {seen.state} with {seen.remote_name}.", code="busy")

    async def never_started(self, remote_name: str) -> bool:
        return names.safe(remote_name) not in self._jobs()

    async def outcome(self, remote_name: str) -> PrinterObservation | None:
        job = self._jobs().get(names.safe(remote_name))
        seen = job.observed(self._now()) if job else None
        return None if seen is None or seen.busy else seen

    async def pause(self, remote_name: str) -> None:
        if self._active(remote_name).state is not PrinterState.PAUSED:
            self._write("paused", remote_name)

    async def resume(self, remote_name: str) -> None:
        if self._active(remote_name).state is PrinterState.PAUSED:
            self._write("resumed", remote_name)

    async def cancel(self, remote_name: str) -> None:
        self._active(remote_name)
        self._write("cancelled", remote_name)

    async def fail(self, remote_name: str) -> None:
        """The print goes wrong: what a real printer does by itself."""
        self._active(remote_name)
        self._write("failed", remote_name)

    def starts(self) -> list[str]:
        """Every start this printer ever made, in order: its own record, for counting."""
        return [act.name for act in self._acts() if act.what == "started"]

    def _seen(self) -> PrinterObservation:
        jobs = list(self._jobs().values())
        return jobs[-1].observed(self._now()) if jobs else PrinterObservation(state=PrinterState.IDLE)

    def _active(self, remote_name: str) -> PrinterObservation:
        seen = self._seen()
        if not seen.busy or seen.remote_name != remote_name:
            raise Refused(f"{self._facts.name} is not at {remote_name}.", hint="It may have ended already.", code="not_active")
        return seen

    def _jobs(self) -> dict[str, _Job]:
        """Every print there ever was, the last one last."""
        jobs: dict[str, _Job] = {}
        for act in self._acts():
            if act.what == "started":
                jobs.pop(act.name, None)
                jobs[act.name] = _Job(act.name, act.seconds, act.at)
            elif act.name in jobs:
                jobs[act.name].apply(act)
        return jobs

    def _acts(self) -> Iterator[_Act]:
        if not self._journal.is_file():
            return
        for line in self._journal.read_bytes().split(b"\n"):
            try:
                yield _Act.model_validate_json(line)
            except ValidationError:
                continue  # the last line of a process that was killed while writing: that act did not happen

    def _write(self, what: _What, name: str, seconds: float = 0.0) -> None:
        line = _Act(at=self._now(), what=what, name=name, seconds=seconds).model_dump_json().encode() + b"\n"
        with self._journal.open("a+b") as file:
            file.write(line if _ends_whole(file) else b"\n" + line)
            file.flush()
            os.fsync(file.fileno())


def _ends_whole(file: BinaryIO) -> bool:
    """Whether the last line was written to its end."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _copy_whole(source: Path, target: Path) -> None:
    """The file appears whole or not at all. The temporary name is nobody else's: an upload that was given up may still be copying."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".part", delete=False) as temporary:
        part = Path(temporary.name)
        try:
            with source.open("rb") as file:
                shutil.copyfileobj(file, temporary)
            temporary.flush()
            os.fsync(temporary.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def duration_s(gcode: Path) -> float:
    """Seconds the moves take at their own speeds, without acceleration: a few percent under the slicer's estimate. Flat memory."""
    at, feed, seconds, relative = [0.0, 0.0, 0.0], 25.0, 0.0, False
    with gcode.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(("G1 ", "G0 ")):
                words = _numbers(line)
                feed = max(_SLOWEST_MM_S, words["F"] / 60) if "F" in words else feed
                to = [
                    words.get(axis, 0.0 if relative else here) + (here if relative else 0.0) for axis, here in zip("XYZ", at, strict=True)
                ]
                seconds += math.dist(at, to) / feed
                at = to
            elif line.startswith("G4"):
                words = _numbers(line)
                seconds += words.get("S", 0.0) + words.get("P", 0.0) / 1000
            elif line.startswith(("G90", "G91")):
                relative = line.startswith("G91")
    return seconds


def _numbers(line: str) -> dict[str, float]:
    found = {}
    for word in line.split(";", 1)[0].split()[1:]:
        try:
            found[word[0]] = float(word[1:])
        except ValueError:
            continue
    return found
