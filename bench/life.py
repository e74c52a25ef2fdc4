"""From a start to READY, from SIGKILL to every order picked up, and from a broker that forgot everything to a dashboard that is complete.

A real daemon with four virtual printers, a sandbox marketplace, PrusaSlicer and a real mosquitto. `make bench`, or
`python -m bench.life [ORDERS [TIMES]]`.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from agent.domain.order import State
from agent.domain.printer import BedState
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import cube, write_binary_stl
from bench.figures import Figure, told
from bench.retained import retained
from tests.rigs.agent_process import ROOT, AgentHome, Desk, wait_until
from tests.rigs.mosquitto import Mosquitto

PRINTERS = 4
READY_MOST_CPU_S = 1.5
PICKED_UP_MOST_S = 3.0
COMPLETE_MOST_S = 5.0
_READY = b"READY=1"


def main(orders: int = 12, times: int = 5) -> int:
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        market = stack.enter_context(SandboxMarketplace())
        (folder / "broker").mkdir()
        broker = Mosquitto(folder / "broker")
        broker.start()
        stack.callback(broker.stop)
        home = AgentHome(folder / "home")
        home.add_marketplace(market.url, market.token)
        home.add_broker(broker.port, broker.username, broker.password)
        for n in range(PRINTERS):
            home.add_virtual(f"virtual-{n}", speed=1)
        first = _ready(home, folder)
        ready = [_ready(home, folder) for _ in range(times)]
        picked_up = _killed(stack, home, market, folder, orders, times)
        complete = _forgetful(broker, home, times)
    return told(
        "life",
        [
            Figure("first start to READY, the ledger made: processor", first[0], "CPU-s"),
            Figure(
                f"start to READY, {PRINTERS} printers, median: processor",
                statistics.median(cpu for cpu, _ in ready),
                "CPU-s",
                READY_MOST_CPU_S,
            ),
            Figure("the same: wall clock", statistics.median(wall for _, wall in ready), "s"),
            Figure(f"SIGKILL to each of {orders} orders picked up, longest", max(picked_up), "s", PICKED_UP_MOST_S),
            Figure("the same: median", statistics.median(picked_up), "s"),
            Figure("broker back, all forgotten, to dashboard complete, longest", max(complete), "s", COMPLETE_MOST_S),
            Figure("the same: median", statistics.median(complete), "s"),
        ],
    )


def _ready(home: AgentHome, folder: Path) -> tuple[float, float]:
    """Processor seconds of the daemon and wall-clock seconds, until it tells systemd that it is ready."""
    address = folder / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told_here:
        told_here.bind(str(address))
        told_here.settimeout(60)
        began = time.monotonic()
        command = [sys.executable, "-m", "agent", "run", "--config", str(home.config)]
        environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        with home.log.open("ab") as log, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as daemon:
            while _READY not in told_here.recv(4096):
                pass
            wall, used = time.monotonic() - began, psutil.Process(daemon.pid).cpu_times()
            daemon.terminate()
    return used.user + used.system + used.children_user + used.children_system, wall


def _killed(stack: ExitStack, home: AgentHome, market: SandboxMarketplace, folder: Path, orders: int, times: int) -> list[float]:
    """With prints under way on every printer, and orders that wait for one."""
    desk = stack.enter_context(home.desk())
    for n in range(PRINTERS):
        desk.ledger.set_bed(f"virtual-{n}", BedState.FREE, "the benchmark")
    agent = home.start(fresh=True)
    try:
        for n in range(orders):
            model = write_binary_stl(folder / f"cube-{n}.stl", cube(20 + n / 100))
            market.add_offer({"files": [{"path": str(model)}], "items": [{"infill_percent": 15}]})
        wait_until(lambda: _settled(desk, orders), "as many print as can", 300)
        took = []
        for _ in range(times):
            before = _versions(desk)
            agent.kill()
            began = time.monotonic()
            agent = home.start(fresh=True)
            wait_until(lambda before=before: all(now > before[name] for name, now in _versions(desk).items()), "every order is picked up")
            took.append(time.monotonic() - began)
        return took
    finally:
        agent.process.send_signal(signal.SIGTERM)
        agent.wait(30)


def _settled(desk: Desk, orders: int) -> bool:
    states = desk.states()
    return len(states) == orders and set(states) == {State.PRINTING, State.SLICED} and states.count(State.PRINTING) == PRINTERS


def _versions(desk: Desk) -> dict[str, int]:
    """A handler that looked at its order leaves another one."""
    return {order.id: order.version for order in desk.ledger.orders(open_only=True)}


def _forgetful(broker: Mosquitto, home: AgentHome, times: int) -> list[float]:
    took = []
    with home.running(fresh=True):
        with retained(broker.port, broker.username, broker.password) as found:
            topics = found.quiet()
        for _ in range(times):
            broker.stop()
            broker.start()
            began = time.monotonic()
            with retained(broker.port, broker.username, broker.password) as found:
                found.wait_for(topics)
            took.append(time.monotonic() - began)
    return took


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
