"""Killed while a start is on its way to a real OctoPrint: the request may be lost with the agent, arrive after its death, or be obeyed
without the agent hearing of it. A proxy holds, delays or loses it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.kill_world import LIFE_S, World, world_of
from tests.rigs.agent_process import AgentProcess, Desk, wait_until
from tests.rigs.kill_machines import OctoPrintMachine
from tests.rigs.octoprint_server import OctoPrintServer, running_octoprint
from tests.rigs.start_proxy import StartProxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("octoprint kills")]


@pytest.fixture(scope="module")
def octoprint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OctoPrintServer]:
    with running_octoprint(tmp_path_factory.mktemp("octoprint"), least_print_s=6) as server:
        yield server


@pytest.fixture
def proxy(octoprint: OctoPrintServer) -> Iterator[StartProxy]:
    with StartProxy(octoprint.url) as between:
        yield between


@pytest.fixture
def world(tmp_path: Path, octoprint: OctoPrintServer, proxy: StartProxy) -> Iterator[World]:
    with world_of(tmp_path, OctoPrintMachine(octoprint, proxy.url)) as made:
        yield made


@pytest.mark.parametrize("fate", ["lost", "late", "reply lost", "lost, lost, late"])
def test_killed_while_a_start_is_on_its_way(world: World, proxy: StartProxy, fate: str) -> None:
    fates = fate.split(", ")
    agents: list[AgentProcess] = []

    def killed_before(_name: str) -> None:
        if fates[:1] in (["lost"], ["late"]):
            agents[-1].kill()
        if fates[:1] == ["late"]:
            time.sleep(1.0)  # the network holds it back for that long; the next agent is up by then

    def killed_after(_name: str) -> None:
        if fates and fates.pop(0) == "reply lost":
            agents[-1].kill()

    def lost(_name: str) -> bool:
        return fates[:1] == ["lost"]

    proxy.before, proxy.after, proxy.drop = killed_before, killed_after, lost
    starts = len(world.machine.starts())
    with world.home.desk() as desk:
        world.offer()
        kills = _lives_until_printed(world, desk, agents, fates)
        world.check(desk)
    assert kills == len(fate.split(", "))
    assert len(world.machine.starts()) == starts + 1


def _lives_until_printed(world: World, desk: Desk, agents: list[AgentProcess], fates: list[str]) -> int:
    kills = 0
    while True:
        agents.append(world.home.start())

        def over() -> bool:
            world.act(desk)
            return not agents[-1].alive() or desk.states() == ["closed"]

        wait_until(over, "printed and delivered, or killed", LIFE_S)
        if desk.states() == ["closed"]:
            agents[-1].stop()
            return kills
        kills += 1
        if fates[:1] == ["lost"]:
            fates.pop(0)  # it never reached the printer: `after` was not called
