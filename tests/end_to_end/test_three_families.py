"""One daemon, one printer of each family, three orders at the same time: each is started once, by its printer's own record.

Each camera's picture comes with the call to its bed.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from agent.domain.printer import BedState
from agent.domain.question import Step
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import box, write_binary_stl
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.bambu_server import running_bambu
from tests.rigs.kill_machines import BambuMachine, KlipperMachine, Machine, OctoPrintMachine
from tests.rigs.klipper_camera import Camera
from tests.rigs.klipper_server import running_klipper
from tests.rigs.ntfy_server import Attachment, running_ntfy
from tests.rigs.octoprint_server import running_octoprint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("three families")]
COLORS = {"octoprint": ("red", "#cc0000"), "moonraker": ("green", "#00aa00"), "bambu": ("blue", "#0000cc")}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, Machine]]:
    with ExitStack() as stack:
        folders = [tmp_path / name for name in COLORS]
        for folder in folders:
            folder.mkdir()
        yield {
            "octoprint": OctoPrintMachine(stack.enter_context(running_octoprint(folders[0], least_print_s=15))),
            "moonraker": KlipperMachine(stack.enter_context(running_klipper(folders[1]))),
            "bambu": BambuMachine(stack.enter_context(running_bambu(folders[2], speed=8))),
        }


def test_three_orders_on_three_families_at_once(machines: dict[str, Machine], tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "home")
    model = write_binary_stl(tmp_path / "part.stl", box(20, 20, 2))
    with SandboxMarketplace() as market, running_ntfy() as ntfy, closing(Camera()) as camera, ExitStack() as stack:
        home.add_marketplace(market.url, market.token, poll_interval_s=0.5)
        home.add(f'[notifications]\nurls = ["ntfy://{ntfy.stub.host}/shop"]\n')
        for name, machine in machines.items():
            machine.add_to(home, name)
            home.recolor(name, *COLORS[name])
        home.give_camera("octoprint", camera.url)
        for color, hex in COLORS.values():
            market.add_offer({"files": [{"path": str(model)}], "items": [{"infill_percent": 20, "color": {"name": color, "hex": hex}}]})
        desk = stack.enter_context(home.desk())
        stack.enter_context(home.running())
        at_once: set[str] = set()

        def calls() -> dict[str, Attachment | None]:
            return {call.title.removesuffix(" is done"): call.attachment for call in ntfy.messages if call.title.endswith(" is done")}

        def delivered() -> bool:
            # Nobody is called to a bed that was cleared meanwhile: this person waits for the call.
            full = {name for name, bed in desk.ledger.beds().items() if bed.state is BedState.OCCUPIED}
            if {each.printer for each in desk.ledger.open_questions() if each.step is Step.BED} & full <= set(calls()):
                desk.person.act()
            if all(machine.active() for machine in machines.values()):
                at_once.update(machines)
            return len(desk.states()) == len(COLORS) and set(desk.states()) == {"closed"}

        wait_until(delivered, "three orders delivered", 240)
        jobs = {job.printer: job.remote_name for order in desk.ledger.orders() for job in desk.ledger.jobs(order.id)}
        assert set(jobs) == set(COLORS), "each on the printer that has its colour"
        for name, machine in machines.items():
            assert machine.starts() == [jobs[name]]
        assert at_once == set(COLORS), "all three printed at the same time"

        wait_until(lambda: len(calls()) == len(COLORS), "three calls to a bed", 20)
        assert {name: picture and picture.content[:3] for name, picture in calls().items()} == dict.fromkeys(COLORS, b"\xff\xd8\xff")
