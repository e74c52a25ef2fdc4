"""Pictures of the models lie with the order before a person is asked anything about it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.errors import Refused
from agent.domain.mesh import Verdict
from agent.domain.order import State
from agent.ports.slicer import Progress, SliceWork
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


async def test_models_are_drawn_while_the_slicer_works(shop: Workshop) -> None:
    drawn, draw, slice_ = asyncio.Event(), shop.meshes.pictures, shop.slicer.slice

    async def pictures_of(sha256: str) -> dict[str, str]:
        drawn.set()
        return await draw(sha256)

    async def waits_for_the_picture(work: SliceWork, progress: Progress | None = None) -> object:
        await drawn.wait()
        return await slice_(work, progress)

    shop.meshes.pictures, shop.slicer.slice = pictures_of, waits_for_the_picture  # type: ignore[method-assign,assignment]
    await shop.settle()
    assert len(pictures(shop)) == 1 and shop.ledger.orders()[0].dossier.batches


async def test_drawing_ends_with_the_slicing_that_failed(shop: Workshop) -> None:
    ended = []

    async def never(_sha256: str) -> dict[str, str]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("drawing")
        return {}

    async def refuses(_work: SliceWork, _progress: Progress | None = None) -> None:
        await asyncio.sleep(0)
        raise Refused("It cannot be sliced.")

    shop.meshes.pictures, shop.slicer.slice = never, refuses  # type: ignore[method-assign,assignment]
    await shop.settle()
    assert ended == ["drawing"]
    assert shop.ledger.orders()[0].dossier.decision is not None


async def test_the_call_about_a_held_model_shows_it(tmp_path: Path) -> None:
    with Workshop(Outside(tmp_path)) as shop:
        shop.meshes.verdict = Verdict.HOLD
        shop.outside.market.add(make_offer(files_before_accept=False))
        shop.receive()
        await shop.settle()
        (notice,) = (notice for notice in shop.inbox.notices if notice.event == "on_hold")
        assert shop.store.path(notice.picture).read_bytes().startswith(b"a picture of")
