"""The machines that outlive an agent which is killed: the same few words for each family, and its own record to count by."""

import asyncio
from typing import Protocol

from agent.printers.virtual import VirtualPrinter
from tests.printers.benches import facts
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.bambu_server import BambuServer
from tests.rigs.klipper_server import KlipperServer
from tests.rigs.octoprint_server import OctoPrintServer


class Machine(Protocol):
    """`proves_never_started`: where the printer can say that a start never came, nobody has to be asked."""

    family: str
    proves_never_started: bool

    def add_to(self, home: AgentHome, name: str = "machine") -> None: ...

    def starts(self) -> list[str]:
        """Every start, by the printer's own record."""
        ...

    def active(self) -> str:
        """The file that is printed now; empty where none is."""
        ...

    def wait_idle(self, within_s: float = 60) -> None: ...

    def shows_nothing_more(self) -> bool:
        """A person takes the print that has ended off its screen; what history it has stays. False: it always shows the last one."""
        ...


class OctoPrintMachine:
    family = "octoprint"
    proves_never_started = True

    def __init__(self, server: OctoPrintServer, url: str = "") -> None:
        self._server, self._url = server, url or server.url

    def add_to(self, home: AgentHome, name: str = "machine") -> None:
        home.add_octoprint(name, self._url, self._server.api_key)

    def starts(self) -> list[str]:
        return self._server.starts()

    def active(self) -> str:
        job = self._server.api("GET", "job")
        return str(job["job"]["file"]["name"]) if job["state"] in ("Starting", "Printing", "Finishing") else ""

    def wait_idle(self, within_s: float = 60) -> None:
        self._server.wait_for("Operational", within_s=within_s)

    def shows_nothing_more(self) -> bool:
        self._server.reset()
        return True


class KlipperMachine:
    family = "moonraker"
    proves_never_started = True

    def __init__(self, server: KlipperServer) -> None:
        self._server = server

    def add_to(self, home: AgentHome, name: str = "machine") -> None:
        home.add_moonraker(name, self._server)

    def starts(self) -> list[str]:
        return self._server.starts()

    def active(self) -> str:
        stats = self._server.print_stats()
        return str(stats["filename"]) if stats["state"] in ("printing", "paused") else ""

    def wait_idle(self, within_s: float = 60) -> None:
        self._server.wait_print("standby", "complete", "cancelled", "error", within_s=within_s)

    def shows_nothing_more(self) -> bool:
        self._server.gcode("SDCARD_RESET_FILE")
        return True


class BambuMachine:
    """A Bambu printer has no history: what it was told while nobody listened is often known to nobody but a person who looks at it."""

    family = "bambu"
    proves_never_started = False

    def __init__(self, server: BambuServer) -> None:
        self._server = server

    def add_to(self, home: AgentHome, name: str = "machine") -> None:
        self._server.trays(["FF0000FF", "1A1A1AFF", "0000CCFF", "FFFFFFFF"])
        home.add_bambu(name, self._server)

    def starts(self) -> list[str]:
        return self._server.starts()

    def active(self) -> str:
        return self._server.active() or ""

    def wait_idle(self, within_s: float = 60) -> None:
        wait_until(lambda: not self._server.active(), "the print has ended", within_s)

    def shows_nothing_more(self) -> bool:
        self._server.tell(gcode_state="IDLE", subtask_name="", subtask_id="0")
        return True


class VirtualMachine:
    family = "virtual"
    proves_never_started = True

    def add_to(self, home: AgentHome, name: str = "machine") -> None:
        home.add_virtual(name, speed=10)
        self._printer = VirtualPrinter(facts(name, "virtual"), home.folder / "data" / "virtual" / name, speed=10)

    def starts(self) -> list[str]:
        return self._printer.starts()

    def active(self) -> str:
        seen = asyncio.run(self._printer.observe())
        return seen.remote_name if seen.busy else ""

    def wait_idle(self, within_s: float = 60) -> None:
        wait_until(lambda: not self.active(), "the print has ended", within_s)

    def shows_nothing_more(self) -> bool:
        return False


def truth(machine: Machine, remote_name: str) -> str:
    """What a person who looks at the printer would answer about a start that nobody is sure of."""
    if machine.active() == remote_name:
        return "printing"
    return "printed" if remote_name in machine.starts() else "never"
