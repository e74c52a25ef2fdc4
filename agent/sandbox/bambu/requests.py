"""What arrives on the request topic: read, answered as a Bambu printer answers, and handed to the machine."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.sandbox.bambu import report as words
from agent.sandbox.bambu.faults import Faults
from agent.sandbox.bambu.job import Job
from agent.sandbox.bambu.journal import Journal
from agent.sandbox.bambu.machine import Machine
from agent.sandbox.bambu.project import Unfit, examine, locate
from agent.sandbox.bambu.trays import holds, slots_of

Fields = dict[str, Any]
_DEFAULT_LAYERS = 10


class Requests:
    """`answer` publishes one answer; `push_all` the whole report. `default_s`: of a print whose length its file does not tell."""

    def __init__(
        self,
        machine: Machine,
        faults: Faults,
        journal: Journal,
        card: Path,
        answer: Callable[[Fields], None],
        push_all: Callable[[], None],
        modules: list[dict[str, str]],
    ) -> None:
        self.speed, self.default_s = 1.0, 1.0
        self._machine = machine
        self._faults = faults
        self._journal = journal
        self._card = card
        self._answer = answer
        self._push_all = push_all
        self._modules = modules
        self._held: set[asyncio.Task[None]] = set()
        self._commands: dict[str, Callable[[Fields], None]] = {
            "project_file": self._project_file,
            "pause": lambda fields: self._do(fields, self._machine.pause()),
            "resume": lambda fields: self._do(fields, self._machine.resume()),
            "stop": lambda fields: self._do(fields, self._machine.cancel()),
            "clean_print_error": self._clean,
        }

    def take(self, payload: bytes) -> None:
        """Clients put several requests into one message; what cannot be read is passed over, as the printer does."""
        if self._faults.deaf:
            return
        if self._faults.slow_s > 0:
            self._after(self._faults.slow_s, lambda: self._read(payload))
        else:
            self._read(payload)

    def _read(self, payload: bytes) -> None:
        try:
            message = json.loads(payload.rstrip(b"\0"))
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        for kind, fields in message.items():
            if isinstance(fields, dict):
                self._one(kind, fields)

    def _one(self, kind: str, fields: Fields) -> None:
        command = fields.get("command")
        if kind == "pushing" and command == "pushall":
            self._push_all()
        elif kind == "info" and command == "get_version":
            self._answer({"info": {**fields, "module": self._modules}})
        elif kind == "print":
            self._print(str(command), fields)
        elif kind in ("system", "camera", "xcam", "upgrade"):
            self._answer({kind: {**fields, "result": "success", "reason": ""}})

    def _print(self, command: str, fields: Fields) -> None:
        if self._faults.refuse != "off":
            self._refuse(command, fields)
            return
        handler = self._commands.get(command)
        if handler is None:
            self._done(fields)  # gcode_line, ledctrl and the rest: taken, and nothing to be seen of it
        else:
            handler(fields)

    def _refuse(self, command: str, fields: Fields) -> None:
        """Without Developer Mode: most firmwares say so in the answer, P1S 01.10 echoes without any result; both raise the HMS."""
        self._journal.add("refuse", str(fields.get("subtask_name", "")), command=command)
        no = {"result": "failed", "reason": "mqtt message verify failed", "err_code": words.NOT_AUTHORIZED}
        self._answer({"print": {**fields, **(no if self._faults.refuse == "result" else {})}})
        self._machine.tell(hms=[words.NOT_AUTHORIZED_HMS])

    def _done(self, fields: Fields) -> None:
        """Success means that it was understood, not that it happened."""
        self._answer({"print": {**fields, "result": "success", "reason": "success"}})

    def _no(self, fields: Fields, reason: str) -> None:
        self._answer({"print": {**fields, "result": "failed", "reason": reason}})

    def _do(self, fields: Fields, happened: bool) -> None:
        if happened:
            self._done(fields)
        else:
            self._no(fields, "state not allowed")

    def _clean(self, fields: Fields) -> None:
        """Without the error's number nothing happens (source: kiln)."""
        if fields.get("print_error") == self._machine.report["print_error"]:
            self._machine.clear_error()
        self._done(fields)

    def _project_file(self, fields: Fields) -> None:
        if self._faults.lose_starts > 0:
            self._faults.lose_starts -= 1
            return
        wait_s, self._faults.hold_start_s = self._faults.hold_start_s, 0.0
        if wait_s:
            self._after(wait_s, lambda: self._start(fields))
        else:
            self._start(fields)

    def _after(self, wait_s: float, act: Callable[[], None]) -> None:
        async def later() -> None:
            await asyncio.sleep(wait_s)
            act()

        held = asyncio.create_task(later())
        self._held.add(held)
        held.add_done_callback(self._held.discard)

    def forget_held(self) -> None:
        for held in self._held:
            held.cancel()

    def _start(self, fields: Fields) -> None:
        if self._machine.busy:
            self._journal.add("busy", str(fields.get("subtask_name", "")))
            self._no(fields, "busy")
            self._machine.tell(print_error=words.BUSY)
            return
        if self._faults.lose_replies > 0:
            self._faults.lose_replies -= 1
        else:
            self._done(fields)
        ids = {key: str(fields.get(key, "0")) for key in ("subtask_id", "task_id", "project_id", "profile_id")}
        job = self.job_of(
            str(fields.get("subtask_name", "")), str(fields.get("url", "")), str(fields.get("param", "")), str(fields.get("md5", ""))
        )
        job.slots = slots_of(fields)
        job.hangs = not holds(self._machine.report["ams"], job.slots)
        self._machine.start(job, ids)

    def job_of(self, name: str, url: str, plate: str, md5: str) -> Job:
        """What it would print; a file it cannot print is seen only when it gets to it."""
        try:
            path = locate(self._card, url)
            project = examine(path, plate, md5)
        except Unfit as unfit:
            return Job(name=name, file=url.rsplit("/", 1)[-1], duration_s=0, layers=0, error=unfit.error)
        duration_s = self.default_s if project.duration_s is None else project.duration_s
        # A client that names no subtask gets the file's name (as the printer shows it when a print is begun from its card).
        name = name or path.name.removesuffix(".3mf").removesuffix(".gcode")
        return Job(name=name, file=path.name, duration_s=duration_s / self.speed, layers=project.layers or _DEFAULT_LAYERS)
