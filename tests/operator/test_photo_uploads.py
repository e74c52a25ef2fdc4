"""Photos in pieces, over the real ledger and disk: whatever comes in whatever order, it is exactly the photo, or it is refused."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.order import Order, State
from agent.domain.question import NewQuestion, Step
from agent.domain.rejection import Rejection, RejectReason
from agent.domain.upload import MOST_UNFINISHED_OF_ONE, NewUpload, Upload
from agent.ledger import uploads
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.operator import photo_uploads
from agent.operator.answers import Answers
from agent.operator.photo_uploads import STALE, PhotoUploads
from agent.ports.ledger import OrderMove, Stale
from tests.ledger.offers import add_offer
from tests.operator.web.pictures import photo_of_a_part
from tests.workflow.workshop import make_offer

JPEG = photo_of_a_part()
KEYS = itertools.count(1)


class Phonebox:
    """An order that asks for photos, and a phone that sends them."""

    def __init__(self, ledger: SqlLedger, folder: Path) -> None:
        self.ledger, self.folder = ledger, folder
        self.store = DiskStore(folder / "files")
        self.store.open()
        self.order = self.new_order("f1")
        self.restart()

    def new_order(self, offer_id: str) -> Order:
        added = add_offer(self.ledger, "market", make_offer(offer_id), datetime.now(UTC) + timedelta(minutes=15))
        assert added is not None
        order = self.ledger.move(added, OrderMove(to=State.PHOTOS, event="test"))
        self.ledger.ask(order, NewQuestion(step=Step.PHOTOS, text="Photos, please."))
        return order

    def restart(self) -> None:
        self.uploads = PhotoUploads(self.ledger, self.ledger, self.store, self.folder / "parts")

    def begin(self, length: int = len(JPEG), now: datetime | None = None, **more: Any) -> Upload:
        about = {"order_id": self.order.id, "item_id": "i1", "key": f"k{next(KEYS)}", "person": "Ada", "length": length} | more
        return self.uploads.begin(NewUpload.model_validate(about), now or datetime.now(UTC))

    async def append(self, upload: Upload, offset: int, *pieces: bytes) -> Upload:
        return await self.uploads.append(upload.id, "Ada", offset, _sent(*pieces))

    def part(self, upload: Upload) -> bytes:
        path = self.folder / "parts" / upload.id
        return path.read_bytes() if path.is_file() else b""


async def _sent(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Phonebox]:
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        yield Phonebox(ledger, tmp_path)


def refused(code: str) -> Any:
    return pytest.raises(Refused, check=lambda error: error.code == code and bool(error.hint))


# --- any order of pieces, retries and restarts ---------------------------------------------------------------------
PHOTO = bytes(range(256)) * 2
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A script that fails is short enough; making it shorter would take minutes."""
offsets = st.one_of(st.just(-1), st.integers(0, len(PHOTO)))
"""-1: where it ended, as a phone does that asked; else whatever it believes."""
acts = st.one_of(
    st.tuples(st.just("send"), offsets, st.integers(0, 300), st.integers(1, 64)),
    st.tuples(st.just("both"), offsets, offsets, st.integers(1, 200)),
    st.tuples(st.just("too much"), offsets, st.integers(1, 50)),
    st.tuples(st.just("torn"), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("restart")),
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Phonebox]:
    """One order for all examples; each of them removes its photo again."""
    with tempfile.TemporaryDirectory() as folder, SqlLedger(sqlite_url(Path(folder))) as ledger:
        yield Phonebox(ledger, Path(folder))


@settings(max_examples=20, deadline=None, phases=NO_SHRINKING, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(acts, max_size=12))
def test_whatever_order_pieces_come_in_it_is_exactly_the_photo_or_refused(
    shared: Phonebox, monkeypatch: pytest.MonkeyPatch, script: list[tuple[Any, ...]]
) -> None:
    order = shared.new_order(f"o{next(KEYS)}")  # an order of its own: the number of photos of one is limited
    monkeypatch.setattr(photo_uploads.os, "fsync", lambda _file: None)  # the disk's own doing, and most of the time
    asyncio.run(_played(shared, shared.begin(len(PHOTO), order_id=order.id), script))


async def _played(box: Phonebox, upload: Upload, script: list[tuple[Any, ...]]) -> None:
    for act in script:
        here = _here(box, upload)
        await _play(box, upload, here, act)
        after = _here(box, upload)
        assert after >= here, "what was confirmed is never lost"
        assert box.part(upload)[:after] == PHOTO[:after]
    rest = _here(box, upload)
    done = await box.append(upload, rest, PHOTO[rest:])
    assert done.whole
    assert box.part(upload)[: len(PHOTO)] == PHOTO


async def _play(box: Phonebox, upload: Upload, here: int, act: tuple[Any, ...]) -> None:
    match act:
        case "send", offset, length, piece:
            at = here if offset < 0 else offset
            sent = PHOTO[at : at + length]
            pieces = [sent[n : n + piece] for n in range(0, len(sent), piece)]
            if at != here:
                with refused("wrong_offset"):
                    await box.append(upload, at, *pieces)
            else:
                assert (await box.append(upload, at, *pieces)).received == here + len(sent)
        case "both", one, other, length:
            ats = [here if offset < 0 else offset for offset in (one, other)]
            sent = [box.append(upload, at, *[PHOTO[at + n : at + n + 1] for n in range(min(length, len(PHOTO) - at))]) for at in ats]
            for ended in await asyncio.gather(*sent, return_exceptions=True):
                assert isinstance(ended, Upload) or (isinstance(ended, Refused) and ended.code == "wrong_offset"), ended
        case "too much", offset, more:
            at = here if offset < 0 else offset
            with pytest.raises(Refused, check=lambda error: error.code in ("wrong_offset", "more_than_announced")):
                await box.append(upload, at, PHOTO[at:], b"x" * more)
            assert _here(box, upload) == here, "nothing of such a request counts"
        case "torn", garbage:
            with (box.folder / "parts" / upload.id).open("ab") if here else (box.folder / "stray").open("ab") as file:
                file.write(garbage)  # written, and not noted when the machine died
        case ("restart",):
            box.restart()


def _here(box: Phonebox, upload: Upload) -> int:
    return box.uploads.find(upload.id, "Ada").received


async def test_the_network_comes_back_while_the_old_request_still_hangs(box: Phonebox) -> None:
    """The phone begins anew; what came by the request that hangs is kept, and nothing waits for it to time out."""
    upload, began = box.begin(), asyncio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield JPEG[:100]
        began.set()
        await asyncio.Event().wait()
        yield b"never"

    old = asyncio.create_task(box.uploads.append(upload.id, "Ada", 0, hangs()))
    await began.wait()
    async with asyncio.timeout(5):
        assert (await box.uploads.settled(upload.id, "Ada")).received == 100
        assert (await old).received == 100
        assert (await box.append(upload, 100, JPEG[100:])).whole


# --- looked at ------------------------------------------------------------------------------------------------------
async def test_a_whole_photo_is_looked_at_once_and_kept_over_restarts(box: Phonebox) -> None:
    upload = box.begin()
    await box.append(upload, 0, JPEG[:5000])
    box.restart()
    whole = await box.append(upload, 5000, JPEG[5000:])
    box.restart()  # died before it was looked at
    (photo,) = await box.uploads.kept(box.order)
    assert photo.usable
    assert box.store.has(photo.sha256)
    assert not box.part(upload)
    assert (await box.uploads.finished(whole)).checked is not None
    box.restart()
    assert await box.uploads.kept(box.order) == [photo]


async def test_what_a_machine_that_died_left_behind_the_photo_is_not_looked_at(box: Phonebox) -> None:
    upload = await box.append(box.begin(), 0, JPEG[:-10])
    with (box.folder / "parts" / upload.id).open("ab") as part:
        part.write(b"<" * 200)
    await box.uploads.finished(await box.append(upload, len(JPEG) - 10, JPEG[-10:]))
    (photo,) = await box.uploads.kept(box.order)
    assert photo.usable


async def test_the_same_photo_begun_again_is_the_same(box: Phonebox) -> None:
    """The answer to the first request was lost."""
    upload = box.begin(key="mine")
    await box.append(upload, 0, JPEG[:100])
    assert box.begin(key="mine").received == 100
    with refused("key_taken"):
        box.begin(key="mine", length=5)
    box.uploads.remove(box.order.id, [upload.id])
    with refused("key_taken"):
        box.begin(key="mine")


async def test_photos_stand_by_item_and_those_that_are_alike_are_told(box: Phonebox) -> None:
    for key in ("a", "b"):
        await box.append(upload := box.begin(key=key), 0, JPEG)
        await box.uploads.finished(upload)
    one, other = await box.uploads.kept(box.order)
    assert [hint.code for hint in one.hints] == []
    assert [hint.code for hint in other.hints] == ["duplicate"]
    box.uploads.remove(box.order.id, [one.id])
    (alone,) = await box.uploads.kept(box.order)
    assert alone.hints == [], "like none that is still there"


@pytest.mark.parametrize("content", [b"%PDF-1.4", JPEG[:900]], ids=["pdf", "half"])
async def test_what_is_no_photo_is_kept_from_everything_and_told(box: Phonebox, content: bytes) -> None:
    upload = await box.append(box.begin(len(content)), 0, content)
    await box.uploads.finished(upload)
    (photo,) = await box.uploads.kept(box.order)
    assert photo.refused is not None
    assert not photo.usable
    assert not box.part(upload)
    with refused("more_than_announced"):
        await box.append(upload, len(content), b"more")


async def test_photos_of_parts_that_are_printed_again_are_of_use_no_more(box: Phonebox) -> None:
    await box.append(upload := box.begin(), 0, JPEG)
    await box.uploads.finished(upload)
    Answers(box.ledger, box.store, "Ada").rejected(box.order.id, Rejection(pieces={"i1": 1}, reason=RejectReason.FLAWS))
    assert await box.uploads.kept(box.order) == []
    assert box.ledger.uploads(box.order.id) == []


# --- limits, and what is not one's own -------------------------------------------------------------------------------
def test_only_where_photos_are_asked_for_and_only_ones_own(box: Phonebox) -> None:
    upload, other = box.begin(), box.new_order("f2")
    with refused("no_such_upload"):
        box.uploads.find(upload.id, "Bob")
    with refused("no_such_upload"):
        box.uploads.find("0" * 32, "Ada")
    with refused("no_such_item"):
        box.begin(item_id="i9")
    box.uploads.remove(other.id, [upload.id])
    assert box.uploads.find(upload.id, "Ada").received == 0, "another order's photos are not removed by its id"
    question = box.ledger.question(box.order.id, Step.PHOTOS)
    assert question is not None
    box.ledger.answer(question, {"choice": "x"}, "Ada")
    with refused("not_asked"):
        box.uploads.find(upload.id, "Ada")
    for order_id in (box.order.id, "nope", "../../etc"):
        with refused("not_asked"):
            box.begin(order_id=order_id)


@pytest.mark.parametrize("length", [0, -1, photo_uploads.LARGEST_PHOTO_BYTES + 1])
def test_a_size_that_no_photo_has(box: Phonebox, length: int) -> None:
    with pytest.raises(Refused, check=lambda error: error.code in ("no_photo", "too_large")):
        box.begin(length)


@pytest.mark.parametrize("key", ["", "x" * 65, "ü", "a\nb"])
def test_a_key_that_is_none(box: Phonebox, key: str) -> None:
    with refused("bad_key"):
        box.begin(key=key)


def test_no_more_photos_than_an_order_takes(box: Phonebox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_PHOTOS", 3)
    monkeypatch.setattr(uploads, "MOST_EVER", 7)
    begun = [box.begin(1) for _ in range(3)]
    with refused("too_many_photos"):
        box.begin(1)
    for _ in range(7 - 3):
        box.ledger.put_away([begun.pop().id])
        begun.append(box.begin(1))
    box.ledger.put_away([upload.id for upload in begun])
    with refused("too_many_photos"):
        box.begin(1)


def test_no_more_bytes_on_the_way_than_one_person_and_the_disk_bear(box: Phonebox, monkeypatch: pytest.MonkeyPatch) -> None:
    most = MOST_UNFINISHED_OF_ONE // photo_uploads.LARGEST_PHOTO_BYTES
    for _ in range(most):
        box.begin(photo_uploads.LARGEST_PHOTO_BYTES)
    with refused("too_much_on_the_way"):
        box.begin(photo_uploads.LARGEST_PHOTO_BYTES)
    box.begin(5, person="Bob")
    full = DiskStore(box.folder / "files", keep_free_bytes=2**62)
    monkeypatch.setattr(box.uploads, "_store", full)
    with pytest.raises(NeedsOperator):
        box.begin(5, person="Bob")


async def test_what_never_comes_whole_is_given_up_and_its_bytes_go(box: Phonebox) -> None:
    old, kept = box.begin(), box.begin()
    for upload in (old, kept):
        await box.append(upload, 0, JPEG[:100])
    (box.folder / "parts" / "stray").write_bytes(b"of an agent that died")
    box.ledger._now = lambda: datetime.now(UTC) + STALE  # type: ignore[method-assign]
    await box.append(kept, 100, JPEG[100:200])
    box.begin(now=datetime.now(UTC) + STALE + timedelta(minutes=1))
    assert [path.name for path in (box.folder / "parts").iterdir()] == [kept.id]
    with refused("no_such_upload"):
        box.uploads.find(old.id, "Ada")


async def test_a_folder_that_somebody_emptied_begins_the_photo_anew(box: Phonebox) -> None:
    upload = await box.append(box.begin(), 0, JPEG[:100])
    (box.folder / "parts" / upload.id).unlink()
    assert box.uploads.find(upload.id, "Ada").received == 0
    assert (await box.append(upload, 0, JPEG)).whole


async def test_a_photo_that_was_removed_while_it_came_stays_removed(box: Phonebox) -> None:
    upload = box.begin()

    async def removed_meanwhile() -> AsyncIterator[bytes]:
        yield JPEG[:100]
        box.uploads.remove(box.order.id, [upload.id])
        yield JPEG[100:]

    with pytest.raises(Stale):
        await box.uploads.append(upload.id, "Ada", 0, removed_meanwhile())
    assert await box.uploads.kept(box.order) == []
