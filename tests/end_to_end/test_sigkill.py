"""kill -9 everywhere, with the real daemon, the real slicer and the real server of each family: nothing lost, nothing printed twice.

The truth is the printer's own record and the marketplace's own journal, never the agent's. Two kinds of kills: right before and right
after each commit of an order's life, and before, in and after each call to the printer (tests/rigs/dying_agent.py).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.job import JobState
from agent.domain.question import Step
from tests.conftest import FIGURES, Tell
from tests.end_to_end.kill_world import LIFE_S, World, world_of
from tests.rigs.agent_process import Desk, wait_until
from tests.rigs.bambu_server import running_bambu
from tests.rigs.kill_machines import BambuMachine, KlipperMachine, Machine, OctoPrintMachine, VirtualMachine
from tests.rigs.klipper_server import running_klipper
from tests.rigs.octoprint_server import running_octoprint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ENDS_WHILE_DOWN = {"octoprint": (False, True), "moonraker": (True,), "bambu": (True,), "virtual": (True,)}
"""An order each: whether its print ends while the agent is down."""
LEAST_KILLS = 60
"""For each order. Over the three families, with those in calls: more than 300."""
TRANSITIONS = (
    "offered", "decided", "intended", "accepted", "fetched", "checked", "sliced", "job_claimed", "print_begun", "uploaded",
    "start_intended", "printing", "print_finished", "asked", "harvested", "printed", "nothing_to_post_process", "photos_taken",
    "submitted", "label_fetched", "label_printed", "packed", "dropped_off", "delivered",
)  # fmt: skip
"""Every commit the daemon makes for an order, by the event it writes."""
OUTCOME = ("before outcome", "during outcome 0.01", "after outcome")
"""Asked for where the printer does not show the job: it never began, or it ended and something else, or nothing, is shown since."""
CALLS = (
    *("before upload", "during upload 0.002", "during upload 0.02", "after upload"),
    *("before start", *OUTCOME, "during start 0.001", "during start 0.02", "during start 0.1", "after start"),
    *("before observe", "during observe 0.002", "during observe 0.02", "after observe"),
)
"""Each is died in once; several, one after another, in the life of one order. Who died before the start was sent asks for an outcome."""


def _family(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.xdist_group(f"{name} kills"))


@pytest.fixture(scope="module")
def octoprint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    # Longer than an agent takes to start: else a print could end before the next life sees it begin.
    with running_octoprint(tmp_path_factory.mktemp("octoprint"), least_print_s=8) as server:
        yield OctoPrintMachine(server)


@pytest.fixture(scope="module")
def moonraker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running_klipper(tmp_path_factory.mktemp("klipper"), homing_s=8) as server:  # likewise
        yield KlipperMachine(server)


@pytest.fixture(scope="module")
def bambu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running_bambu(tmp_path_factory.mktemp("bambu"), speed=8) as server:
        yield BambuMachine(server)


@pytest.fixture
def virtual() -> Machine:
    return VirtualMachine()


@pytest.fixture(params=[_family("octoprint"), _family("moonraker"), _family("bambu"), _family("virtual")])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path, request.getfixturevalue(request.param)) as made:
        yield made


def test_killed_before_and_after_every_commit_of_an_orders_life(world: World, record_property: Tell) -> None:
    """Each life gets as far as one commit: n = 1 dies before it, n = 2 after it, so every commit is both before and behind a kill."""
    with world.home.desk() as desk:
        for ends_while_down in ENDS_WHILE_DOWN[world.machine.family]:
            world.offer()
            while world.live(desk, dies_at=1 + _past_start(desk)) and world.live(desk, dies_at=2 + _past_start(desk)):
                if ends_while_down and world.machine.active():
                    world.machine.wait_idle()
        world.check(desk)
        deaths = world.deaths()
        for transition in TRANSITIONS:
            assert f"before {transition}" in deaths, transition
            assert f"after {transition}" in deaths, transition
        assert len(deaths) >= LEAST_KILLS * len(world.offers), f"only {len(deaths)} kills"
        record_property(FIGURES, world.told("at commits"))


def _known_to_print(desk: Desk) -> bool:
    return any(job.state is JobState.PRINTING for job in desk.ledger.active_jobs())


def _asks_for_bed(desk: Desk) -> bool:
    return any(question.step is Step.BED for question in desk.ledger.open_questions())


def _past_start(desk: Desk) -> int:
    """Two points more where a start was intended in vain already: else each life would end between the intent and the start."""
    (job,) = desk.ledger.active_jobs() or (None,)
    in_vain = job is not None and job.state is JobState.UPLOADED and "start_intended" in desk.kinds(job.order_id)
    return 2 if in_vain else 0


def test_killed_before_in_and_after_every_call_to_the_printer(world: World, record_property: Tell) -> None:
    """Every other print ends in the agent's absence."""
    with world.home.desk() as desk:
        world.offer()
        for how in CALLS:
            while not world.live(desk, dies_in=how):
                assert how not in OUTCOME, f"nobody asked for an outcome: {how}"
                world.offer()  # this one has no such call before it any more, and was brought to its end
            if len(world.deaths()) % 2 and world.machine.active():
                world.machine.wait_idle()
        with world.home.running():
            wait_until(lambda: (world.act(desk), set(desk.states()) == {"closed"})[1], "all delivered", LIFE_S)
        world.check(desk)
        _died_in(world, "upload", "start", "observe", "outcome")
        record_property(FIGURES, world.told("in calls to the printer"))


def _died_in(world: World, *calls: str) -> None:
    deaths = world.deaths()
    for call in calls:
        for phase in ("before", "during", "after"):
            assert f"{phase} {call}" in deaths, f"{phase} {call}"


def test_a_print_that_ends_while_the_agent_is_dead_is_found_and_asked_for(world: World, record_property: Tell) -> None:
    """Where the printer can be made to show it no longer, its history is asked, and the agent dies over that too."""
    with world.home.desk() as desk:
        world.offer()
        agent = world.home.start()
        try:
            # Killed sooner, while the start is on its way, a Bambu printer could not tell this end from the one before: then it is asked.
            wait_until(lambda: (world.act(desk), _known_to_print(desk))[1], "printing", LIFE_S)
        finally:
            agent.kill()
        world.machine.wait_idle()
        if world.machine.shows_nothing_more():
            for how in OUTCOME:
                assert world.live(desk, dies_in=how), f"nobody asked for an outcome: {how}"
            _died_in(world, "outcome")
        with world.home.running():
            wait_until(lambda: (world.tell_the_truth(desk), _asks_for_bed(desk))[1], "asks for the bed", LIFE_S)
            (job,) = desk.ledger.active_jobs()
            assert job.state == "finished"
            wait_until(lambda: (world.act(desk), desk.states() == ["closed"])[1], "delivered", LIFE_S)
        world.check(desk)
        if world.deaths():
            record_property(FIGURES, world.told("in asking how a print had ended"))
