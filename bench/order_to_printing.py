"""What the agent adds between an offer and a printer that prints, over the bare slicer and a bare upload-and-start.

Side by side in one run, in turn: A slices a 20 mm cube with prusa-slicer and the agent's own flat profile, and uploads it with
print=true; B makes an offer on the sandbox marketplace and lets a running, idle daemon do everything: see it, fetch, check, slice,
prove, decide, accept, upload, start. Both clocks stop at the start of the print in OctoPrint's own log. The daemon is as after an idle
hour: the process that judges meshes has left and starts anew. `make bench`, or `python -m bench.order_to_printing [PAIRS]`.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.domain.offer import Supports
from agent.domain.plate import PrintSettings
from agent.domain.printer import BedState
from agent.domain.values import Color
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import cube, write_binary_stl
from agent.slicers.profiles import ProfileLibrary, as_ini, default_profiles_dir
from bench.figures import Figure, keep
from tests.rigs.agent_process import AgentHome, Desk, wait_until
from tests.rigs.octoprint_server import OctoPrintServer, running_octoprint

ALLOWED_S = 0.3
_INFILL = 15


def main(pairs: int = 7) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "octoprint").mkdir()
        with running_octoprint(folder / "octoprint") as octoprint, SandboxMarketplace() as market:
            home = AgentHome(folder / "home")
            home.add_marketplace(market.url, market.token, poll_interval_s=5)
            home.add_octoprint("mk3s", octoprint.url, octoprint.api_key)
            with home.desk() as desk, home.running(fresh=True) as agent:
                wait_until(lambda: home.logged("ready"), "the daemon is up")
                bench = _Bench(folder, octoprint, market, desk, psutil.Process(agent.pid))
                rows = [bench.pair(n) for n in range(pairs + 1)][1:]  # the first warms both up
    return _tell(rows)


@dataclass(frozen=True)
class _Bench:
    folder: Path
    octoprint: OctoPrintServer
    market: SandboxMarketplace
    desk: Desk
    daemon: psutil.Process

    def pair(self, n: int) -> tuple[float, float]:
        """Seconds of A and of B, on a cube of another size each time, so that nothing is known already."""
        model = write_binary_stl(self.folder / f"cube-{n}.stl", cube(20 + n / 1000))
        bare = _timed(self.octoprint, lambda: _bare(model, self.folder, self.octoprint))
        self.octoprint.wait_for("Operational", within_s=120)
        self.desk.ledger.set_bed("mk3s", BedState.FREE, "the benchmark")
        self._idle_for_long()
        offer = {"files": [{"path": str(model)}], "items": [{"infill_percent": _INFILL}]}
        agents = _timed(self.octoprint, lambda: self.market.add_offer(offer))
        wait_until(lambda: (self.desk.person.act(), set(self.desk.states()) == {"closed"})[1], "delivered", 180)
        print(f"  {n}: bare {bare:.3f} s   agent {agents:.3f} s   added {agents - bare:+.3f} s", flush=True)
        return bare, agents

    def _idle_for_long(self) -> None:
        """The process that judges meshes leaves after a minute without work: its start is part of an order out of the blue."""
        for child in self.daemon.children(recursive=True):
            child.kill()


def _timed(octoprint: OctoPrintServer, act: Callable[[], object]) -> float:
    """From the act until OctoPrint has started a print, in seconds. Its log is looked at: asking itself would take it a core of two,
    and that from B alone, whose act is over at once."""
    before, began = len(octoprint.logged_starts()), time.monotonic()
    act()
    while len(octoprint.logged_starts()) == before:
        time.sleep(0.002)
    return time.monotonic() - began


def _bare(model: Path, folder: Path, octoprint: OctoPrintServer) -> None:
    settings = PrintSettings(material="PLA", color=Color(name="black", hex="#1a1a1a"), infill_percent=_INFILL, supports=Supports.NO)
    flat = folder / "flat.ini"
    flat.write_text(as_ini(ProfileLibrary(default_profiles_dir()).profile("prusa-mk3s").flat(settings)))
    gcode = folder / "bare.gcode"
    command = ["prusa-slicer", "--loglevel", "1", "--load", str(flat), "--center", "125,105", "-g", str(model), "-o", str(gcode)]
    subprocess.run(command, check=True, capture_output=True)
    with gcode.open("rb") as file:
        octoprint.api("POST", "files/local", files={"file": ("bare.gcode", file)}, data={"print": "true"})


def _tell(rows: list[tuple[float, float]]) -> int:
    bare, agents = ([row[side] for row in rows] for side in (0, 1))
    added = [b - a for a, b in rows]
    for name, values in (
        ("A bare slicer, upload and start", bare),
        ("B offer to printing by the agent", agents),
        ("B - A, pair by pair", added),
    ):
        print(f"{name:34} min {min(values):6.3f}   median {statistics.median(values):6.3f}   max {max(values):6.3f} s")
    met = statistics.median(added) <= ALLOWED_S
    print(f"{'met' if met else 'NOT MET'}: the agent adds at most {ALLOWED_S} s (median of {len(rows)} pairs)")
    offer = Figure("offer to printing by the agent, median", statistics.median(agents), "s", beside=statistics.median(bare))
    keep(
        "order_to_printing", [offer, Figure(f"what the agent adds, median of {len(rows)} pairs", statistics.median(added), "s", ALLOWED_S)]
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
