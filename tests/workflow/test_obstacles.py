"""What keeps the agent from keeping a promise, one by one, each with the marketplace told and told again when it is over."""

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import NeedsOperator
from agent.domain.printer import LoadedMaterial
from agent.ledger.files import DiskStore
from agent.workflow.obstacles import THOROUGH_S
from tests.ledger.offers import add_offer
from tests.sandbox.stall import offer
from tests.workflow.online_scene import BACK_S, OWN, Scene, opened
from tests.workflow.workshop import BLACK


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


def spools(scene: Scene, *grams: float | None) -> None:
    printer = scene.work.printer
    materials = [LoadedMaterial(material="PLA", color=BLACK, remaining_g=left) for left in grams]
    printer.facts = printer.facts.model_copy(update={"materials": materials})


@pytest.mark.parametrize(
    ("grams", "why"),
    [
        ([5.0, 19.0], "less than 20 g of filament left"),
        ([5.0, 21.0], ""),
        ([5.0, None], ""),
        ([], "no material is loaded"),
    ],
)
async def test_filament(scene: Scene, grams: list[float | None], why: str) -> None:
    spools(scene, *grams)
    await scene.passes(40)
    assert (await scene.status())[1] == (f"{OWN}no printer can take an order (mk3s: {why})" if why else "")


async def test_a_slicer_that_is_gone_and_comes_back(scene: Scene) -> None:
    async def gone() -> None:
        raise NeedsOperator("prusa-slicer is not installed.", hint="apt-get install it")

    there, scene.work.slicer.warm = scene.work.slicer.warm, gone  # type: ignore[method-assign]
    await scene.passes(THOROUGH_S + 40)
    assert (await scene.status())[1] == f"{OWN}no printer can take an order (mk3s: prusa-slicer is not installed)"
    scene.work.slicer.warm = there  # type: ignore[method-assign]
    await scene.passes(BACK_S + 40)
    assert (await scene.status())[0] == "online"


@pytest.mark.parametrize(("minutes", "told"), [(10, "ahead of"), (-10, "behind"), (1.5, ""), (-1.5, "")])
async def test_the_clock(scene: Scene, minutes: float, told: str) -> None:
    """Set right again, by whoever, it is right at once: what the marketplace said is not held against the old clock."""
    await scene.api.offers()
    scene.wrong_by = timedelta(minutes=minutes)
    await scene.passes(40)
    assert (await scene.status())[1] == (f"{OWN}this machine's clock is {told} the marketplace's by over 120 s" if told else "")
    scene.wrong_by = timedelta()
    await scene.passes(BACK_S + 40)
    assert (await scene.status())[0] == "online"


async def test_a_clock_that_a_time_service_keeps_is_not_doubted(scene: Scene) -> None:
    await scene.api.offers()
    scene.clock_is_kept, scene.wrong_by = True, timedelta(minutes=10)
    await scene.passes(60)
    assert scene.times_set() == 0
    scene.clock_is_kept = False
    await scene.passes(40)
    assert scene.times_set() == 1


async def test_a_marketplace_whose_clock_is_sometimes_wrong_stops_nothing(scene: Scene) -> None:
    await scene.api.offers()
    scene.market.set_fault("clock_off", "listOffers", 5)
    for _ in range(5):
        await scene.api.offers()
        await scene.passes(20)
    assert (scene.times_set(), scene.told()) == (0, [])


async def test_no_printer_at_all(scene: Scene) -> None:
    scene.shop = replace(scene.shop, printers={})
    scene.begin()
    await scene.passes(40)
    assert (await scene.status())[1] == f"{OWN}no printer can take an order (none is configured)"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB of its own; only root can have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("a small disk can only be mounted as root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Until not a byte more can be written beside it."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


async def test_a_full_disk_is_told_although_nothing_can_be_written(small_disk: Path) -> None:
    async with opened(small_disk) as scene:
        scene.shop = replace(scene.shop, store=DiskStore(small_disk / "files", keep_free_bytes=100_000))
        scene.begin()
        scene.market.add_offer(offer())
        (waiting,) = await scene.api.offers()
        assert add_offer(scene.shop.ledger, "sandbox", waiting, waiting.accept_by)
        await scene.passes(40)
        ballast = small_disk / "ballast"
        fill(ballast)
        await scene.passes(THOROUGH_S + 40)
        assert (await scene.status())[1] == f"{OWN}the disk is nearly full, or does not answer; the ledger cannot be written"
        assert set(scene.told()) == {"went_offline"}
        ballast.unlink()
        await scene.passes(BACK_S + 40)
        assert (await scene.status())[0] == "online"
        assert scene.told()[-1] == "back_online"


async def test_a_ledger_that_another_program_holds_is_looked_at_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look that fails is no obstacle yet."""
    real: Callable[[], None] = scene.shop.ledger.require_writable
    failing = iter([True])

    def once(*_: Any) -> None:
        if next(failing, False):
            raise NeedsOperator("the disk is full", code="disk_full")
        real()

    monkeypatch.setattr(scene.shop.ledger, "require_writable", once)
    await scene.passes(THOROUGH_S * 2)
    assert (scene.times_set(), scene.told()) == (0, [])
