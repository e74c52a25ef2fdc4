"""The printer itself: its states, its report, its job. Whoever drives it calls from the event loop."""

import asyncio
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.sandbox.bambu import report as words
from agent.sandbox.bambu.heat import COLD_BED_C, cooling, heating
from agent.sandbox.bambu.job import Job
from agent.sandbox.bambu.journal import Journal
from agent.sandbox.bambu.report import idle_report, merge
from agent.sandbox.bambu.trays import runout_error, runout_hms

_LEAST_STEP_S, _MOST_STEP_S = 0.05, 1.0
_STEPS = 20


class Machine:
    """`told` is called with the changed fields at each change. All `_s` are seconds of the wall clock; `cool_s`: until the bed is cold."""

    def __init__(self, kept: Path, journal: Journal, told: Callable[[dict[str, Any]], None]) -> None:
        self.stale_s, self.prepare_s, self.cancel_shown_s, self.cool_s = 0.2, 0.3, 1.0, 0.0
        self.report = idle_report()
        self.job: Job | None = None
        self._kept = kept
        self._journal = journal
        self._told = told
        self._timeline: asyncio.Task[None] | None = None
        self._clearing: asyncio.TimerHandle | None = None
        self._cooling: asyncio.Task[None] | None = None
        self._going = asyncio.Event()

    # ---- power

    def power_on(self, *, remember: bool) -> None:
        """With `remember` it goes on where it was; without, it knows nothing of before."""
        kept = json.loads(self._kept.read_text()) if self._kept.exists() else {}
        if remember and kept:
            self.report = kept["report"]
            if kept["job"] is not None:
                self._begin(Job(**kept["job"]))
            elif self.report["bed_temper"] > COLD_BED_C:
                self._cooling = asyncio.create_task(self._cool())
            if self.report["print_error"] == words.CANCELLED:
                self._clear_later()
            return
        if kept.get("job") is not None:
            self._journal.add("lost", kept["job"]["name"])
        self._keep()

    async def power_off(self) -> None:
        self._halt()
        await asyncio.gather(*(task for task in (self._timeline, self._cooling) if task is not None), return_exceptions=True)

    def reset(self) -> None:
        """Idle, as after being switched on; nothing is said about what ran."""
        self._halt()
        self.job = None
        self.report = idle_report()
        self.tell(**self.report)

    # ---- what it is told to do

    @property
    def busy(self) -> bool:
        return self.job is not None

    def start(self, job: Job, ids: dict[str, str]) -> None:
        """The new ids are shown at once; the state follows after `stale_s`, as on real printers (up to minutes on some)."""
        assert not self.busy
        if not job.error:
            self._journal.add("start", job.name, file=job.file, task_id=ids["task_id"], slots=job.slots)
        self._stop_clearing()
        self._stop_cooling()
        self.tell(gcode_file=job.file, subtask_name=job.name, **ids)
        self._begin(job)

    def pause(
        self, why: str = "user", *, stage: int = words.USER_PAUSE_STAGE, error: int = words.USER_PAUSE, hms: list[Any] | None = None
    ) -> bool:
        """False: nothing is being printed."""
        if self.job is None or self.job.stage != "run" or self.job.paused:
            return False
        self.job.paused = True
        self._going.clear()
        self._journal.add("pause", self.job.name, why=why)
        self.tell(gcode_state="PAUSE", stg_cur=stage, print_error=error, hms=hms or [])
        return True

    def runout(self, slot: int) -> bool:
        return self.pause("runout", stage=words.RUNOUT_STAGE, error=runout_error(slot), hms=[runout_hms(slot)])

    def resume(self) -> bool:
        """False: it is not paused."""
        if self.job is None or not self.job.paused:
            return False
        self.job.paused = False
        self._journal.add("resume", self.job.name)
        self.tell(gcode_state="RUNNING", stg_cur=0, print_error=0, hms=[])
        self._going.set()
        return True

    def cancel(self) -> bool:
        """False: there is no job. The error that says so goes away after `cancel_shown_s`."""
        if self.job is None:
            return False
        self._end("cancel", "FAILED", words.CANCELLED)
        self._clear_later()
        return True

    def fail(self, error: int = words.NOZZLE_CLUMP, hms: list[Any] | None = None) -> bool:
        """False: there is no job. The error stays."""
        if self.job is None:
            return False
        self._end("fail", "FAILED", error, [words.CLUMP_HMS] if hms is None else hms)
        return True

    def clear_error(self) -> None:
        self.tell(print_error=0, hms=[])

    def tell(self, **changes: Any) -> None:
        """Into the report, onto the disk, out to the listeners."""
        merge(self.report, copy.deepcopy(changes))  # what was told must not change afterwards
        self._keep()
        self._told(changes)

    # ---- its job

    def _begin(self, job: Job) -> None:
        self.job = job
        if job.paused:
            self._going.clear()
        else:
            self._going.set()
        self._keep()
        self._timeline = asyncio.create_task(self._live(job))

    async def _live(self, job: Job) -> None:
        if job.stage == "accepted":
            await asyncio.sleep(self.stale_s)
            job.stage = "prepare"
        if job.stage == "prepare":
            await self._prepare(job)
            if job.error:
                self._end("unfit", "FAILED", job.error)
                return
            job.stage = "run"
            self.tell(gcode_state="RUNNING", stg_cur=0, total_layer_num=job.layers, gcode_file_prepare_percent="100", **job.progress())
            if job.slots is not None:
                self.tell(ams={"tray_now": str(job.slots[0]) if job.slots else words.EXTERNAL_SPOOL})
        await self._run(job)
        self._end("finish", "FINISH", 0)

    async def _prepare(self, job: Job) -> None:
        self.tell(gcode_state="PREPARE", print_type="local", print_error=0, hms=[], mc_percent=0, layer_num=0, total_layer_num=0)
        stages = len(words.PREPARE_STAGES)
        for number, stage in enumerate(words.PREPARE_STAGES, 1):
            self.tell(stg_cur=stage, **heating(number / (stages + 1)))
            await asyncio.sleep(self.prepare_s / stages)
        if job.hangs:
            await asyncio.get_running_loop().create_future()  # until somebody ends the job
        if not job.error:
            self.tell(**heating(1.0))

    async def _cool(self) -> None:
        for step in range(_STEPS):
            self.tell(**cooling(step / _STEPS))
            await asyncio.sleep(self.cool_s / _STEPS)
        self.tell(**cooling(1.0))

    async def _run(self, job: Job) -> None:
        step = min(max(job.duration_s / _STEPS, _LEAST_STEP_S), _MOST_STEP_S)
        while job.elapsed_s < job.duration_s:
            await self._going.wait()
            began = time.monotonic()
            await asyncio.sleep(min(step, job.remaining_s()))
            job.elapsed_s += time.monotonic() - began
            await self._going.wait()
            self.tell(**job.progress())

    def _end(self, event: str, state: str, error: int, hms: list[Any] | None = None) -> None:
        assert self.job is not None
        self._journal.add(event, self.job.name)
        current = asyncio.current_task()
        if self._timeline is not None and self._timeline is not current:
            self._timeline.cancel()
        self.job = None
        done = {"mc_percent": 100} if event == "finish" else {}
        self.tell(
            gcode_state=state,
            print_error=error,
            hms=hms or [],
            stg_cur=words.IDLE_STAGE,
            print_type="idle",
            layer_num=0,
            total_layer_num=0,
            mc_remaining_time=0,
            ams={"tray_now": words.NO_TRAY},
            **cooling(0.0 if self.cool_s else 1.0),
            **done,
        )
        if self.cool_s:
            self._cooling = asyncio.create_task(self._cool())

    def _halt(self) -> None:
        self._stop_clearing()
        self._stop_cooling()
        if self._timeline is not None:
            self._timeline.cancel()

    def _clear_later(self) -> None:
        self._stop_clearing()
        self._clearing = asyncio.get_running_loop().call_later(self.cancel_shown_s, self.clear_error)

    def _stop_clearing(self) -> None:
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None

    def _stop_cooling(self) -> None:
        if self._cooling is not None:
            self._cooling.cancel()

    def _keep(self) -> None:
        new = self._kept.with_suffix(".new")
        new.write_text(json.dumps({"report": self.report, "job": self.job.kept() if self.job else None}))
        new.replace(self._kept)
