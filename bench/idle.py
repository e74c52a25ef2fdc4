"""What the daemon costs while nothing happens: one OctoPrint printer, one marketplace, no orders.

The operating system's own accounts of the daemon and its children. `make bench`, or `python -m bench.idle [SECONDS]`.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.octoprint_server import running_octoprint

MOST_RSS_MIB = 90.0
MOST_CPU_PERCENT = 1.0
SETTLE_S = 5.0


def main(seconds: float = 60.0) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "octoprint").mkdir()
        with running_octoprint(folder / "octoprint") as octoprint, SandboxMarketplace() as market:
            home = AgentHome(folder / "home")
            home.add_marketplace(market.url, market.token, poll_interval_s=5)
            home.add_octoprint("mk3s", octoprint.url, octoprint.api_key)
            with home.running(fresh=True) as agent:
                wait_until(lambda: home.logged("ready"), "the daemon is up")
                time.sleep(SETTLE_S)
                return _measured(psutil.Process(agent.pid), seconds)


def _measured(process: psutil.Process, seconds: float) -> int:
    before, began = _cpu_s(process), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (_cpu_s(process) - before) / (time.monotonic() - began)
    family = [process, *process.children(recursive=True)]
    rss = sum(one.memory_info().rss for one in family) / 2**20
    rows = (("RSS, children included", rss, MOST_RSS_MIB, "MiB"), (f"CPU over {seconds:.0f} s", percent, MOST_CPU_PERCENT, "% of a core"))
    for name, found, most, unit in rows:
        print(f"{name:26} {found:7.2f} {unit:12} at most {most:g}: {'met' if found <= most else 'NOT MET'}")
    print(f"{'processes, threads':26} {len(family)}, {process.num_threads()} (page size {os.sysconf('SC_PAGE_SIZE')})")
    return 0 if rss <= MOST_RSS_MIB and percent <= MOST_CPU_PERCENT else 1


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main(*(float(argument) for argument in sys.argv[1:])))
