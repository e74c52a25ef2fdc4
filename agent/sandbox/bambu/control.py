"""The person at the printer and its faults, over lines of JSON on a loopback port: `{"do": "pause"}` is answered `{"ok": true, …}`."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from agent.domain.errors import AgentError, Refused
from agent.sandbox.bambu.faults import REFUSALS, Faults, garbage
from agent.sandbox.bambu.printer import SandboxPrinter
from agent.sandbox.bambu.report import NOZZLE_CLUMP
from agent.sandbox.bambu.screen import print_file
from agent.sandbox.bambu.trays import COLORS, ams

Answer = dict[str, Any] | None


class Control:
    """One line, one answer. What cannot be done is answered `{"ok": false, "error": …}`."""

    def __init__(self, printer: SandboxPrinter) -> None:
        self._printer = printer
        self._server: asyncio.Server | None = None
        self._words: dict[str, Callable[..., Answer | Awaitable[Answer]]] = {
            "look": self._look,
            "person_prints": self._person_prints,
            "pause": lambda: _needs(printer.machine.pause()),
            "resume": lambda: _needs(printer.machine.resume()),
            "cancel": lambda: _needs(printer.machine.cancel()),
            "fail": lambda error=NOZZLE_CLUMP, hms=None: _needs(printer.machine.fail(error, hms)),
            "runout": lambda slot=0: _needs(printer.machine.runout(slot)),
            "refuse": self._refuse,
            "set": self._set,
            "times": self._times,
            "garbage": lambda kind: printer.say_bytes(garbage(kind, printer.machine.report)),
            "trays": self._trays,
            "tell": lambda changes: printer.machine.tell(**changes),
            "push": printer.push_all,
            "clear_error": lambda: printer.machine.clear_error(),
            "drop": self._drop,
            "restart_broker": self._restart_broker,
            "reset": self._reset,
        }

    async def start(self) -> int:
        """The port, on 127.0.0.1."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._one(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            return  # whoever asked has gone, or sent a line without an end
        finally:
            writer.close()

    async def _one(self, line: bytes) -> dict[str, Any]:
        try:
            asked = dict(json.loads(line))
            word = self._words[asked.pop("do")]
            answer = word(**asked)
            told = await answer if inspect.isawaitable(answer) else answer
        except (ValueError, KeyError, TypeError, RecursionError, AgentError, OSError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}
        return {"ok": True, **(told or {})}

    def _look(self) -> Answer:
        job, report = self._printer.machine.job, self._printer.machine.report
        return {"active": job.name if job else None, "stage": job.stage if job else None, "state": report["gcode_state"], "report": report}

    def _person_prints(self, file: str, name: str) -> Answer:
        print_file(self._printer.machine, self._printer.requests, self._printer.settings.card, Path(file), name)
        return None

    def _refuse(self, how: str) -> Answer:
        if how not in REFUSALS:
            raise Refused(f"refuse is one of {', '.join(REFUSALS)}", code="bad_request")
        self._printer.faults.refuse = how
        if how == "off":
            self._printer.machine.tell(hms=[])
        return None

    def _set(self, **faults: Any) -> Answer:
        known = {field.name: type(field.default) for field in fields(Faults) if field.name != "refuse"}
        if unknown := set(faults) - set(known):
            raise Refused(f"no such fault: {', '.join(sorted(unknown))}", code="bad_request")
        for name, value in faults.items():
            if not isinstance(value, (int, float) if known[name] is float else known[name]):
                raise Refused(f"{name} is a {known[name].__name__}", code="bad_request")
        for name, value in faults.items():
            setattr(self._printer.faults, name, value)
        return None

    def _times(
        self, stale_s: float | None = None, prepare_s: float | None = None, cancel_shown_s: float | None = None, cool_s: float | None = None
    ) -> Answer:
        told = {"stale_s": stale_s, "prepare_s": prepare_s, "cancel_shown_s": cancel_shown_s, "cool_s": cool_s}
        seconds = {name: float(value) for name, value in told.items() if value is not None}
        for name, value in seconds.items():
            setattr(self._printer.machine, name, value)
        return None

    async def _drop(self, what: str) -> Answer:
        """Connections that are open now are lost; new ones are taken at once."""
        if what == "mqtt":
            await self._printer.restart_broker()
        elif what == "ftps":
            self._printer.drop_card()
        elif what == "camera":
            self._printer.camera.drop()
        else:
            raise Refused("drop is one of mqtt, ftps, camera", code="bad_request")
        return None

    def _trays(self, colors: list[str] | None = None, material: str = "PLA", empty: list[int] | None = None) -> Answer:
        self._printer.machine.tell(ams=ams(tuple(colors or COLORS), material, frozenset(empty or ())))
        return None

    async def _restart_broker(self) -> Answer:
        await self._printer.restart_broker()
        return None

    def _reset(self) -> Answer:
        """As new: no job, no fault, the times it was started with. Card and journal stay."""
        settings, printer = self._printer.settings, self._printer
        for field in fields(Faults):
            setattr(printer.faults, field.name, field.default)
        printer.requests.forget_held()
        self._times(settings.stale_s, settings.prepare_s, 1.0, 0.0)
        printer.machine.reset()
        return None


def _needs(happened: bool) -> Answer:
    if not happened:
        raise Refused("the printer is not in a state for that", code="bad_state")
    return None
