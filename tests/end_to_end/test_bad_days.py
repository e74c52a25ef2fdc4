"""Bad input is normal input: each bad order gets a clear reason, every other order goes on, the daemon stays up."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.order import State
from agent.domain.question import Question, Step
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import box, write_binary_stl
from tests.rigs.agent_process import AgentHome, Desk, wait_until
from tests.rigs.octoprint_server import OctoPrintServer, running_octoprint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def market() -> Iterator[SandboxMarketplace]:
    with SandboxMarketplace() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, market: SandboxMarketplace) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_marketplace(market.url, market.token)
    home.add_virtual("mk3s")
    return home


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_binary_stl(tmp_path / "good.stl", box(12, 12, 2))


def offered(market: SandboxMarketplace, model: Path, **more: object) -> str:
    return market.add_offer({"files": [{"path": str(model)}], **more})


def state_of(desk: Desk, offer_id: str) -> State | None:
    return next((order.state for order in desk.ledger.orders() if order.dossier.offer.offer_id == offer_id), None)


def why(desk: Desk, offer_id: str) -> str:
    """Everything the history and the open questions of that offer's order say."""
    order = next(order for order in desk.ledger.orders() if order.dossier.offer.offer_id == offer_id)
    questions = [question.text for question in desk.ledger.open_questions() if question.order_id == order.id]
    return " ".join([*(str(event.data) for event in desk.ledger.events(order.id)), *questions])


def asked(desk: Desk) -> Question:
    """The question that goes with a hold; it follows the order's move onto hold at once."""

    def found() -> list[Question]:
        return [question for question in desk.ledger.open_questions() if question.step is Step.HOLD]

    wait_until(lambda: bool(found()), "the question is asked", 10)
    (question,) = found()
    return question


def delivered(desk: Desk, offer_id: str) -> bool:
    desk.person.act()
    return state_of(desk, offer_id) is State.CLOSED


def test_a_day_of_bad_offers_harms_no_good_one(home: AgentHome, market: SandboxMarketplace, good: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.stl"
    page.write_text("<!DOCTYPE html><html>no model</html>")
    tiny = write_binary_stl(tmp_path / "inches.stl", box(1, 1, 1))
    bad = {
        "page": offered(market, page),
        "red": offered(market, good, items=[{"color": {"name": "red", "hex": "#ff0000"}}]),
        "long": offered(market, write_binary_stl(tmp_path / "long.stl", box(400, 10, 10))),
        "words": offered(market, good, special_instructions="Please paint it like a zebra."),
        "inches": offered(market, tiny),
        "late page": offered(market, page, files_before_accept=False),
    }
    fine = [offered(market, good), offered(market, good, files_before_accept=False)]
    with home.desk() as desk, home.running() as agent:
        for offer_id in fine:
            wait_until(lambda offer_id=offer_id: delivered(desk, offer_id), "the good orders are delivered", 120)
        declined = {name: market.offer(bad[name])["state"] for name in ("page", "red", "long")}
        assert declined == {"page": "declined", "red": "declined", "long": "declined"}
        assert "web page" in why(desk, bad["page"]) or "HTML" in why(desk, bad["page"])
        assert "material loaded" in why(desk, bad["red"])
        assert "fits the bed" in why(desk, bad["long"])
        steps = {question.order_id: question.step for question in desk.ledger.open_questions()}
        assert [step for step in steps.values() if step is Step.OFFER] == [Step.OFFER, Step.OFFER], "instructions and inches are a person's"
        assert state_of(desk, bad["late page"]) is State.ON_HOLD
        remote = market.order(market.offer(bad["late page"])["order_id"])
        assert [problem["code"] for problem in remote["problems"]] == ["file_unprintable"], "the marketplace was told"
        assert agent.alive()


@pytest.mark.parametrize(
    ("fault", "operation", "reason"),
    [
        ("wrong_sha256", "getOrderFile", "sha256"),
        ("huge_file", "getOrderFile", "larger than"),
        ("redirect_private", "getOrderFile", "not on the public internet"),
    ],
)
def test_a_marketplace_that_sends_something_else_than_it_announced_is_held_with_the_reason(
    home: AgentHome, market: SandboxMarketplace, good: Path, fault: str, operation: str, reason: str
) -> None:
    market.set_fault(fault, operation)
    offer_id = offered(market, good, files_before_accept=False)
    with home.desk() as desk, home.running("--set", "files.max_file_mb=1") as agent:
        wait_until(lambda: state_of(desk, offer_id) is State.ON_HOLD, "on hold", 60)
        assert reason in why(desk, offer_id)
        market.clear_faults()
        desk.ledger.answer(asked(desk), {"choice": "retry"}, "Ada")
        wait_until(lambda: delivered(desk, offer_id), "delivered once the marketplace is mended", 120)
        assert agent.alive()


def test_a_marketplace_with_a_bad_day_gets_every_act_once(home: AgentHome, market: SandboxMarketplace, good: Path) -> None:
    for operation, fault in (("listOffers", "error_500"), ("getOrderFile", "unavailable_503"), ("getOrder", "broken_json")):
        market.set_fault(fault, operation, 1)
    for operation in ("acceptOffer", "startOrder", "putPhoto", "submitOrder", "markDelivered"):
        market.set_fault("drop_reply_after_acting", operation, 1)
    offer_id = offered(market, good, files_before_accept=False)
    with home.desk() as desk, home.running():
        wait_until(lambda: delivered(desk, offer_id), "delivered", 180)
    order_id = market.offer(offer_id)["order_id"]
    assert market.times_done("acceptOffer", offer_id) == 1
    assert [market.times_done(act, order_id) for act in ("startOrder", "submitOrder", "markDelivered")] == [1, 1, 1]


@pytest.mark.parametrize("behaviour", ["kill -SEGV $$", "sleep 600"], ids=["crashes", "hangs"])
def test_a_slicer_that_breaks_puts_its_order_on_hold_and_a_retry_goes_on(
    home: AgentHome, market: SandboxMarketplace, good: Path, tmp_path: Path, behaviour: str
) -> None:
    slicer, real = tmp_path / "slicer", shutil.which("prusa-slicer")
    broken = tmp_path / "broken"
    broken.touch()
    slicer.write_text(f'#!/bin/sh\ncase "$*" in *--help*) ;; *) [ -e {broken} ] && {behaviour} ;; esac\nexec {real} "$@"\n')
    slicer.chmod(0o755)
    home.add(f'[slicing]\nprusaslicer = "{slicer}"\ntimeout_s = 3\n')
    offer_id = offered(market, good, files_before_accept=False)
    with home.desk() as desk, home.running() as agent:
        wait_until(lambda: state_of(desk, offer_id) is State.ON_HOLD, "on hold", 60)
        assert "PrusaSlicer" in why(desk, offer_id)
        broken.unlink()
        desk.ledger.answer(asked(desk), {"choice": "retry"}, "Ada")
        wait_until(lambda: delivered(desk, offer_id), "delivered", 120)
        assert agent.alive()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB of its own; only root can have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)], check=False).returncode == 0
    )
    if not mounted:
        pytest.skip("a small disk can only be mounted as root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Until not a byte more can be written beside it."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_a_state_and_it_goes_on_by_itself_when_there_is_room(
    home: AgentHome, market: SandboxMarketplace, good: Path, small_disk: Path
) -> None:
    home.config.write_text(
        home.config.read_text().replace('data_dir = "data"', f'data_dir = "{small_disk}/data"').replace("free_mb = 10", "free_mb = 0")
    )
    offer_id = offered(market, good, files_before_accept=False)
    with home.desk() as desk, home.running() as agent:
        wait_until(lambda: state_of(desk, offer_id) is State.SLICED, "sliced; it waits for its bed", 60)
        ballast = small_disk / "ballast"
        fill(ballast)
        second = offered(market, good, files_before_accept=False)
        wait_until(
            lambda: home.logged("ledger_unavailable") or home.logged("not_recorded") or home.logged("marketplace_lost"), "it is told", 60
        )
        assert agent.alive()
        ballast.unlink()
        for waiting in (offer_id, second):
            wait_until(lambda waiting=waiting: delivered(desk, waiting), "delivered", 120)


@pytest.fixture(scope="module")
def octoprint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OctoPrintServer]:
    with running_octoprint(tmp_path_factory.mktemp("octoprint")) as server:
        yield server


@pytest.mark.xdist_group("octoprint bad days")
def test_a_printer_that_vanishes_in_the_middle_is_told_and_its_print_is_a_persons_to_judge(
    tmp_path: Path, market: SandboxMarketplace, octoprint: OctoPrintServer, good: Path
) -> None:
    home = AgentHome(tmp_path / "octo")
    home.add_marketplace(market.url, market.token)
    home.add_octoprint("mk3s", octoprint.url, octoprint.api_key)
    offer_id = offered(market, good, items=[{"quantity": 6, "infill_percent": 100}])
    with home.desk() as desk, home.running() as agent:
        wait_until(lambda: (desk.person.act(), octoprint.state() == "Printing")[1], "printing", 60)
        octoprint.stop()
        wait_until(
            lambda: "printer_lost" in why(desk, offer_id) or desk.kinds(desk.ledger.orders()[0].id)[-1] == "printer_lost", "told", 60
        )
        octoprint.start()
        wait_until(lambda: state_of(desk, offer_id) is State.ON_HOLD, "asked what became of it", 60)
        assert "Look at the printer" in why(desk, offer_id)
        assert len(octoprint.starts()) == 1, "nothing is started by itself"
        assert agent.alive()
