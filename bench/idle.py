"""What the daemon costs while nothing happens, with 1, 4 and 50 printers: an OctoPrint, the others virtual ones; one marketplace.

With four also an MQTT dashboard on a real mosquitto, and somebody who has the page open and listens. The operating system's own accounts of
the daemon and its children, in its second life: the first one makes the ledger, and keeps the 14 MiB that takes until it ends.
`make bench`, or `python -m bench.idle [SECONDS [PRINTERS …]]`.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from agent.sandbox.marketplace.server import SandboxMarketplace
from bench.figures import Figure, told
from bench.retained import retained
from bench.visitor import visitor
from tests.rigs.agent_process import AgentHome, AgentProcess, wait_until
from tests.rigs.mosquitto import Mosquitto
from tests.rigs.octoprint_server import running_octoprint
from tests.rigs.processes import free_port

MOST_RSS_MIB = 90.0
MOST_CPU_PERCENT = {1: 0.5, 4: 0.5}
WITH_ALL = 4
"""So many printers are measured with a dashboard and a visitor."""
SETTLE_S = 5.0


def main(seconds: float = 60.0, *counts: float) -> int:
    figures: list[Figure] = []
    for count in [int(count) for count in counts] or [1, WITH_ALL, 50]:
        with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
            figures += _idle(stack, Path(temporary), count, seconds)
    return told("idle", figures)


def _idle(stack: ExitStack, folder: Path, count: int, seconds: float) -> list[Figure]:
    (folder / "octoprint").mkdir()
    octoprint = stack.enter_context(running_octoprint(folder / "octoprint"))
    market = stack.enter_context(SandboxMarketplace())
    home = AgentHome(folder / "home")
    home.add_marketplace(market.url, market.token, poll_interval_s=5)
    home.add_octoprint("mk3s", octoprint.url, octoprint.api_key)
    for n in range(1, count):
        home.add_virtual(f"virtual-{n}")
    _lived(home)
    if count != WITH_ALL:
        agent = stack.enter_context(_second_life(home))
        return _measured(f"{count} printers", psutil.Process(agent.pid), seconds, count)
    broker = stack.enter_context(_broker(folder, home))
    port = free_port()
    agent = stack.enter_context(_second_life(home, "--set", f"web.listen=127.0.0.1:{port}"))
    with retained(broker.port, broker.username, broker.password) as found:
        found.quiet()
    process = psutil.Process(agent.pid)
    alone = _measured(f"{count} printers, dashboard, page that nobody looks at", process, seconds, count)
    (code,) = home.logged("nobody_has_signed_in_yet")
    with visitor(f"http://127.0.0.1:{port}", code["pairing_code"]):
        time.sleep(SETTLE_S)
        return [*alone, *_measured(f"{count} printers, dashboard, page that somebody looks at", process, seconds, None)]


def _lived(home: AgentHome) -> None:
    with home.running(fresh=True):
        wait_until(lambda: home.logged("ready"), "the daemon is up")
    home.log.unlink()


@contextmanager
def _second_life(home: AgentHome, *options: str) -> Iterator[AgentProcess]:
    with home.running(*options, fresh=True) as agent:
        wait_until(lambda: home.logged("ready"), "the daemon is up again")
        time.sleep(SETTLE_S)
        yield agent


@contextmanager
def _broker(folder: Path, home: AgentHome) -> Iterator[Mosquitto]:
    (folder / "broker").mkdir()
    broker = Mosquitto(folder / "broker")
    broker.start()
    try:
        home.add_broker(broker.port, broker.username, broker.password)
        yield broker
    finally:
        broker.stop()


def _measured(where: str, process: psutil.Process, seconds: float, count: int | None) -> list[Figure]:
    """`count` None: its processor time is told, and not promised."""
    before, began = _cpu_s(process), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (_cpu_s(process) - before) / (time.monotonic() - began)
    rss = sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 2**20
    return [
        Figure(f"{where}: memory", rss, "MiB", None if count == 50 else MOST_RSS_MIB),
        Figure(f"{where}: processor over {seconds:.0f} s", percent, "% of one", MOST_CPU_PERCENT.get(count or 0)),
    ]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main(*(float(argument) for argument in sys.argv[1:])))
