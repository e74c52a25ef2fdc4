"""A sandbox Bambu printer as a process of its own on free ports, and the person who stands beside it."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.rigs.processes import free_port, guard
from tests.rigs.vsftpd import Vsftpd

_READY_S = 30.0


class BambuServer:
    """One printer with a folder of its own; it keeps its ports over restarts. Options: those of agent.sandbox.bambu, with underscores."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.host: str = options.pop("host", "127.0.0.1")
        self.serial: str = options.pop("serial", "01P00A000000001")
        self.access_code: str = options.pop("access_code", "12345678")
        self.mqtt_port: int = options.pop("mqtt_port", 0) or free_port()
        self.ftps_port: int = options.pop("ftps_port", 0) or free_port()
        self.camera_port: int = options.pop("camera_port", 0) or free_port()
        self.ca_file = folder / "certificates" / "ca.pem"
        self.card = folder / "card"
        self._strict = options.get("ftps") == "vsftpd"
        if self._strict:
            options["ftps"] = "none"
        self.vsftpd: Vsftpd | None = None
        self._options = {"default_s": 1.0, "heartbeat_s": 0.5, **options}
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.control_port = 0

    def start(self, *, remember: bool = False) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "stderr.txt").open("ab") as errors:
            self._process = subprocess.Popen(
                self._command(remember), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        self._guard = guard(self._process.pid)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _READY_S)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            self.stop()
            raise AssertionError(f"the printer did not come up: {(self.folder / 'stderr.txt').read_text(errors='replace')[-2000:]}")
        self.control_port = json.loads(line)["control_port"]
        if self._strict:
            certificates = self.folder / "certificates"
            files = (certificates / "printer.pem", certificates / "printer.key")
            self.vsftpd = Vsftpd(self.folder / "vsftpd", (self.host, self.ftps_port), self.card, *files, self.access_code)
            self.vsftpd.start()

    def _command(self, remember: bool) -> list[str]:
        options = {
            "folder": self.folder,
            "serial": self.serial,
            "access_code": self.access_code,
            "host": self.host,
            "mqtt_port": self.mqtt_port,
            "ftps_port": self.ftps_port,
            "camera_port": self.camera_port,
            **self._options,
        }
        command = [sys.executable, "-m", "agent.sandbox.bambu"]
        for name, value in options.items():
            flag = f"--{name.replace('_', '-')}"
            command += ([flag] if value else []) if isinstance(value, bool) else [flag, str(value)]
        return command + (["--remember"] if remember else [])

    def stop(self) -> None:
        """As when the power goes."""
        if self.vsftpd is not None:
            self.vsftpd.stop()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate(timeout=20)
            self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def restart(self, *, remember: bool = True) -> None:
        """`remember`: it goes on where it was; otherwise it knows nothing of its job and is idle."""
        self.stop()
        self.start(remember=remember)

    # ---- what happened, by the printer's own record

    def journal(self) -> list[dict[str, Any]]:
        path = self.folder / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def events(self, event: str) -> list[str]:
        """The names of all entries of a kind: upload, start, pause, resume, cancel, finish, fail, unfit, lost, refuse, busy."""
        return [entry["name"] for entry in self.journal() if entry["event"] == event]

    def starts(self) -> list[str]:
        """The subtask name of every print that began, also of those a person began."""
        return self.events("start")

    def look(self) -> dict[str, Any]:
        """`active` (name or None), `stage`, `state`, `report`."""
        return self.ask("look")

    def active(self) -> str | None:
        """The subtask name of the job it is at."""
        name: str | None = self.look()["active"]
        return name

    def state(self) -> str:
        return str(self.look()["state"])

    def wait_for(self, *states: str, within_s: float = 30) -> None:
        """Polls the true gcode_state, which the adapter may not have seen yet."""
        until = time.monotonic() + within_s
        while self.state() not in states:
            assert time.monotonic() < until, f"{self.state()}, not {states}, after {within_s} s"
            time.sleep(0.02)

    # ---- a person at the printer

    def person_prints(self, file: Path, name: str) -> None:
        """G-code or a .gcode.3mf, from its screen: `name` is the subtask name, all ids are 0."""
        self.ask("person_prints", file=str(file), name=name)

    def pause(self) -> None:
        self.ask("pause")

    def resume(self) -> None:
        self.ask("resume")

    def cancel(self) -> None:
        self.ask("cancel")

    def fail(self, error: int | None = None) -> None:
        """print_error; left out: 03008014, a clump at the nozzle."""
        self.ask("fail", **({} if error is None else {"error": error}))

    def runout(self, slot: int = 0) -> None:
        self.ask("runout", slot=slot)

    def trays(self, colors: list[str] | None = None, material: str = "PLA", empty: list[int] | None = None) -> None:
        """`colors`: RRGGBBAA, one for each tray."""
        self.ask("trays", colors=colors, material=material, empty=empty)

    def clear_error(self) -> None:
        """A person takes the message off the screen."""
        self.ask("clear_error")

    def hms(self, attr: int, code: int) -> None:
        """One warning; what is printed goes on."""
        self.tell(hms=[{"attr": attr, "code": code}])

    def slots(self) -> list[list[int] | None]:
        """The trays each start asked for, as ams_id * 4 + slot; empty: the external spool."""
        return [entry["slots"] for entry in self.journal() if entry["event"] == "start"]

    def tell(self, **changes: Any) -> None:
        """Fields of the report, as they are; until something changes them."""
        self.ask("tell", changes=changes)

    # ---- faults

    def refuse(self, how: str = "result") -> None:
        """No Developer Mode: `result` says so in the answer and by HMS, `no_result` by HMS alone; `off`."""
        self.ask("refuse", how=how)

    def lose_next_start(self) -> None:
        """Neither answered nor done."""
        self.ask("set", lose_starts=1)

    def lose_next_reply(self) -> None:
        """Done and not answered."""
        self.ask("set", lose_replies=1)

    def hold_next_start(self, seconds: float) -> None:
        """Taken up and answered that much later."""
        self.ask("set", hold_start_s=seconds)

    def slow_card(self, bytes_s: int) -> None:
        """So many bytes a second of the next file are taken. Not on a vsftpd."""
        self.ask("set", card_bytes_s=bytes_s)

    def garbage(self, kind: str) -> None:
        """One message: not_utf8, broken_json, nul, unknown_state, wrong_types, list, nested, huge or empty."""
        self.ask("garbage", kind=kind)

    def unknown_state(self, word: str = "DANCING") -> None:
        """Said for gcode_state in every report from now on; empty: the truth."""
        self.ask("set", state_word=word)
        self.ask("push")

    def nul_ended(self, on: bool = True) -> None:
        self.ask("set", nul_ended=on)

    def silent(self, on: bool = True, *, deaf: bool = True) -> None:
        """Connections stay; it says nothing, and when `deaf` does nothing it is told. What it prints goes on."""
        self.ask("set", silent=on, deaf=on and deaf)

    def times(
        self,
        *,
        stale_s: float | None = None,
        prepare_s: float | None = None,
        cancel_shown_s: float | None = None,
        cool_s: float | None = None,
    ) -> None:
        """`cool_s`: from a print's end until the bed is cold; 0 (as it starts): at once."""
        self.ask("times", stale_s=stale_s, prepare_s=prepare_s, cancel_shown_s=cancel_shown_s, cool_s=cool_s)

    def stale_s(self, seconds: float) -> None:
        """How long the old state stands after a start, with the new ids."""
        self.times(stale_s=seconds)

    def restart_broker(self) -> None:
        """All connections are lost; the printer and its job stay. Back when it can be reached again."""
        self.ask("restart_broker")

    def drop_connections(self) -> None:
        self.restart_broker()

    def drop_ftps(self) -> None:
        """Cut within 50 ms, also in the middle of a file; new connections are taken."""
        if self.vsftpd is not None:
            self.vsftpd.stop()
            self.vsftpd.start()
        else:
            self.ask("drop", what="ftps")

    def drop_camera(self) -> None:
        self.ask("drop", what="camera")

    def slow(self, seconds: float) -> None:
        """Every request is taken up and answered that much later; 0: at once."""
        self.ask("set", slow_s=seconds)

    def reset(self) -> None:
        """Idle, no job, no fault, full AMS, the times it was started with. Card and journal stay."""
        self.ask("reset")

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """One line of its control channel. AssertionError: it could not do that."""
        with socket.create_connection(("127.0.0.1", self.control_port), timeout=20) as line, line.makefile("rwb") as stream:
            stream.write(json.dumps({"do": do, **fields}).encode() + b"\n")
            stream.flush()
            answer: dict[str, Any] = json.loads(stream.readline())
        assert answer.pop("ok"), f"{do}: {answer.get('error')}"
        return answer


@contextlib.contextmanager
def running_bambu(folder: Path, **options: Any) -> Iterator[BambuServer]:
    """`speed`, `default_s`, `stale_s`, `prepare_s`, `model`, `host`, ports, `serial`, `access_code`: as the sandbox's own options.

    `hang_unwrap=True`: the end of TLS on the data channel is not answered.
    `ftps="vsftpd"`: the card is served by a real vsftpd (see tests.rigs.vsftpd.can_run); its uploads are not in the journal.
    """
    server = BambuServer(folder, **options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
