"""Models are drawn when their order waits, for whoever it waits for; nothing waits for a picture."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.mesh import Verdict
from agent.domain.order import State
from agent.domain.printer import BedState
from agent.domain.question import Step
from agent.workflow.acceptance import Mode, Policy
from tests.workflow.workshop import Outside, Workshop, make_offer


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(Outside(tmp_path), policy=Policy(mode=Mode.ASK)) as workshop:
        workshop.outside.market.add(make_offer())
        workshop.receive()
        yield workshop


def pictures(shop: Workshop) -> list[bytes]:
    (order,) = shop.ledger.orders()
    return [shop.store.path(sha256).read_bytes() for mesh in order.dossier.meshes.values() for sha256 in mesh.pictures.values()]


async def test_whoever_is_asked_about_an_offer_can_see_its_models(shop: Workshop) -> None:
    await shop.settle()
    assert shop.ledger.orders()[0].state is State.OFFERED
    assert [picture[:12] for picture in pictures(shop)] == [b"a picture of"]


async def test_a_model_that_is_held_is_seen_too_one_that_is_no_model_is_not(shop: Workshop) -> None:
    shop.meshes.verdict = Verdict.HOLD
    await shop.settle()
    assert len(pictures(shop)) == 1


async def test_a_model_that_is_no_model_has_no_picture(shop: Workshop) -> None:
    shop.meshes.verdict = Verdict.REJECT
    await shop.settle()
    assert shop.ledger.orders()[0].dossier.meshes
    assert pictures(shop) == []


async def test_a_printer_has_its_work_before_anything_is_drawn(tmp_path: Path) -> None:
    with Workshop(Outside(tmp_path)) as shop:
        starts_by_then, draw = [], shop.meshes.pictures

        async def pictures_of(sha256: str) -> dict[str, str]:
            starts_by_then.append(len(shop.printer.outside.starts))
            return await draw(sha256)

        shop.meshes.pictures = pictures_of  # type: ignore[method-assign]
        shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        shop.outside.market.add(make_offer())
        shop.receive()
        await shop.settle()
        assert starts_by_then == [1]
        assert len(pictures(shop)) == 1


async def test_an_order_that_waits_for_a_printer_can_be_seen(tmp_path: Path) -> None:
    with Workshop(Outside(tmp_path)) as shop:
        shop.outside.market.add(make_offer())
        shop.receive()
        await shop.settle()
        assert shop.ledger.orders()[0].state is State.SLICED
        assert len(pictures(shop)) == 1


async def test_what_cannot_be_drawn_is_tried_once_and_keeps_nobody(shop: Workshop) -> None:
    tried = []

    async def cannot(sha256: str) -> dict[str, str]:
        tried.append(sha256)
        return {}

    shop.meshes.pictures = cannot  # type: ignore[method-assign]
    await shop.settle()
    shop.ledger.wake([State.OFFERED])
    await shop.settle()
    assert len(tried) == 1 and pictures(shop) == []
    assert shop.ledger.question(shop.ledger.orders()[0].id, Step.OFFER) is not None


async def test_the_call_about_a_held_model_shows_it(tmp_path: Path) -> None:
    with Workshop(Outside(tmp_path)) as shop:
        shop.meshes.verdict = Verdict.HOLD
        shop.outside.market.add(make_offer(files_before_accept=False))
        shop.receive()
        await shop.settle()
        (notice,) = (notice for notice in shop.inbox.notices if notice.event == "on_hold")
        assert shop.store.path(notice.picture).read_bytes().startswith(b"a picture of")
