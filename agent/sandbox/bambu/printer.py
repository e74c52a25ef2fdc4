"""All parts of one sandbox printer, put together."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.domain.errors import Refused
from agent.sandbox.bambu.broker import Broker
from agent.sandbox.bambu.camera import Camera
from agent.sandbox.bambu.certificates import certificates
from agent.sandbox.bambu.faults import Faults
from agent.sandbox.bambu.files import CardServer
from agent.sandbox.bambu.journal import Journal
from agent.sandbox.bambu.machine import Machine
from agent.sandbox.bambu.report import modules
from agent.sandbox.bambu.requests import Requests
from agent.sandbox.bambu.settings import Settings
from agent.sandbox.bambu.voice import Voice

_FOLDERS = ("cache", "model")
_FULL, _DELTA = 0, 1


class SandboxPrinter:
    """Entered: all its ports answer."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = certificates(settings.folder / "certificates", settings.serial)
        self.faults = Faults()
        self.journal = Journal(settings.folder / "journal.jsonl")
        self.machine = Machine(settings.folder / "state.json", self.journal, self._changed)
        self.machine.stale_s, self.machine.prepare_s = settings.stale_s, settings.prepare_s
        told = modules(settings.serial, settings.model, settings.firmware)
        self.requests = Requests(self.machine, self.faults, self.journal, settings.card, self.say, self.push_all, told)
        self.requests.speed, self.requests.default_s = settings.speed, settings.default_s
        self.broker = Broker(
            settings.folder / "broker", settings.serial, settings.access_code, settings.host, settings.mqtt_port, self.files
        )
        self.camera = Camera(settings.access_code, self.files, lambda: f"{settings.serial} {self.machine.report['gcode_state']}")
        self._card: CardServer | None = None
        self._voice: Voice | None = None
        self._number = 2000
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "SandboxPrinter":
        async with contextlib.AsyncExitStack() as stack:
            settings = self.settings
            for folder in _FOLDERS:
                (settings.card / folder).mkdir(parents=True, exist_ok=True)
            await self.broker.start()
            stack.push_async_callback(self.broker.stop)
            self._voice = Voice(self.broker, settings.serial, self.files, self.requests.take)
            stack.push_async_callback(self._voice.stop)
            await self._voice.start()
            if settings.ftps == "pyftpdlib":
                self._serve_card(stack)
            await self.camera.start(settings.host, settings.camera_port)
            stack.push_async_callback(self.camera.stop)
            self.machine.power_on(remember=settings.remember)
            stack.push_async_callback(self.machine.power_off)
            stack.callback(self.requests.forget_held)
            beating = asyncio.create_task(self._beat())
            stack.callback(beating.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _serve_card(self, stack: contextlib.AsyncExitStack) -> None:
        def noted(file: Path) -> None:
            self.journal.add("upload", file.name, bytes=file.stat().st_size)

        card = CardServer(self.settings, self.files, self.faults, noted)
        card.start()
        stack.callback(card.stop)
        self._card = card

    def drop_card(self) -> None:
        """Refused: somebody else serves the card."""
        if self._card is None:
            raise Refused("The card is not served by this printer.", code="bad_state")
        self._card.drop()

    async def restart_broker(self) -> None:
        """Every connection is lost; back when the printer is at its broker again."""
        assert self._voice is not None
        await self._voice.stop()
        await self.broker.restart()
        await self._voice.start()

    def say(self, message: Mapping[str, Any]) -> None:
        """BambuStudio wants it indented (source: bambuddy)."""
        body = json.dumps(message, indent=4).encode()
        self.say_bytes(body + b"\0" if self.faults.nul_ended else body)

    def say_bytes(self, payload: bytes) -> None:
        if self._voice is not None and not self.faults.silent:
            self._voice.say(payload)

    def push_all(self) -> None:
        self._push(self.machine.report, _FULL)

    def _changed(self, changes: dict[str, Any]) -> None:
        """An X1 always pushes everything, an A1 or P1 what has changed."""
        if self.settings.model.startswith("X1"):
            self.push_all()
        else:
            self._push(changes, _DELTA)

    def _push(self, fields: dict[str, Any], kind: int) -> None:
        self._number += 1
        state = {"gcode_state": self.faults.state_word} if self.faults.state_word and "gcode_state" in fields else {}
        self.say({"print": {**fields, **state, "command": "push_status", "msg": kind, "sequence_id": str(self._number)}})

    async def _beat(self) -> None:
        """Printers say something every few seconds, however little."""
        while True:
            await asyncio.sleep(self.settings.heartbeat_s)
            self._changed({"wifi_signal": self.machine.report["wifi_signal"]})
