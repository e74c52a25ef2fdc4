"""A dossier holds all of an order, is the same every time, and shows every byte that was changed."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from agent.domain.errors import Refused
from agent.domain.events import event_hash
from agent.domain.order import State
from agent.dossiers.archive import Damaged, read, written
from agent.dossiers.export import chain_end, export
from agent.dossiers.manifest import MANIFEST, SEAL, ChainEnd, canonical, sealed
from agent.dossiers.press import press
from agent.dossiers.story import documents, story_of
from agent.dossiers.verify import verified, verify
from agent.ports.ledger import OrderMove
from agent.wire.child import Limits
from tests.dossiers.orders import SENTENCE, Records, records


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Records]:
    with records(tmp_path) as opened:
        yield opened


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readable part is set in this process: a second less for each, most of it the import of what sets it."""

    async def ask(_module: str, arguments: Sequence[str], _limits: Limits) -> dict[str, int]:
        return {"pages": press(Path(arguments[0]), Path(arguments[1]))}

    monkeypatch.setattr("agent.dossiers.export.ask", ask)


def exported(kept: Records, order_id: str, *, everything: bool = False) -> bytes:
    path = kept.folder / "dossier.zip"
    asyncio.run(export(order_id, kept.ledger, kept.store, path, "1.2.3", everything=everything))
    return path.read_bytes()


def told(archive: bytes, name: str) -> object:
    return json.loads(read(archive)[name])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    with records(tmp_path_factory.mktemp("order")) as opened:
        return exported(opened, opened.closed().id)


# --- what is in it -----------------------------------------------------------------------------------------------------
def test_everything_that_is_known_is_in_it(archive: bytes) -> None:
    members = read(archive)
    assert set(members) == {
        *("dossier.pdf", "order.json", "offer.json", "decision.json", "files.json", "plates.json", "jobs.json"),
        *("attestations.json", "events.json", "missing.json", "pictures/1-isometric.png", "pictures/1-top.png"),
        *("photos/1.jpg", "photos/2.jpg", "label.pdf", MANIFEST, SEAL),
    }
    assert told(archive, "decision.json")["rules"][0]["limit"] == "5.00 EUR"  # type: ignore[index]
    assert told(archive, "plates.json")[0]["proof"][0]["check"] == "infill"  # type: ignore[index]
    assert told(archive, "files.json")[0]["mesh"]["reasons"][0]["code"] == "HOLES"  # type: ignore[index]
    (agreed,) = told(archive, "attestations.json")  # type: ignore[misc]
    assert (agreed["text"], agreed["text_has_this_hash"], agreed["agreed_by"]) == (SENTENCE, True, "Ada Example")  # type: ignore[has-type]
    kinds = [event["kind"] for event in told(archive, "events.json")]  # type: ignore[attr-defined]
    assert kinds[0] == "offered" and kinds[-1] == "delivered" and "print_finished" in kinds


def test_a_person_can_read_it(archive: bytes) -> None:
    pages = PdfReader(io.BytesIO(read(archive)["dossier.pdf"])).pages
    text = "\n".join(page.extract_text() for page in pages)
    for word in ("Haken größer.stl", "łódź", "кириллица", "<U+65E5>", "12.50 EUR", "HOLES", "PrusaSlicer 2.5", "SBX123", "Ada Example"):
        assert word in text, word
    assert "thehashisthatofthistext" in "".join(text.split())
    assert "took 640 s" in text and "cannot be shown" in text


def test_any_program_can_unpack_it(archive: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == read(archive)


def test_the_same_order_gives_the_same_bytes(kept: Records) -> None:
    order = kept.closed()
    first = exported(kept, order.id)
    moved = kept.ledger.wait(kept.ledger.order(order.id), None, tries=3)  # looked at again, and nothing happened
    assert moved.version > order.version
    assert exported(kept, order.id) == first


@pytest.mark.usefixtures("at_once")
def test_with_all_files_the_models_and_the_gcode_are_in_it(kept: Records) -> None:
    members = read(exported(kept, kept.closed().id, everything=True))
    assert members["gcode/plate-1.gcode"] == b"G28\n"
    assert members["models/1.stl"].startswith(b"solid ")


@pytest.mark.parametrize("state", [State.OFFERED, State.DECLINED, State.PRINTING, State.ON_HOLD, State.CANCELLED])
@pytest.mark.usefixtures("at_once")
def test_an_order_can_be_told_wherever_it_stands(kept: Records, state: State) -> None:
    order = kept.offered()
    if state is not State.OFFERED:
        kept.ledger.move(order, OrderMove(to=state, event="test", resume_state=State.PRINTING if state is State.ON_HOLD else None))
    found = verified(exported(kept, order.id), kept.ledger)
    assert (found.ok, found.order_id, found.compared_with_ledger) == (True, order.id, True)


@pytest.mark.parametrize(
    "words", ["x" * 5000, "\u202e\u200b\ufffd\U000e0041", "\u0627\u0644 \u0639\u0631", "a\n" * 2000, "<b>**__~~[x](y)", "\x00\x1b[2J"]
)
@pytest.mark.usefixtures("at_once")
def test_no_words_of_a_customer_break_it(kept: Records, words: str) -> None:
    order = kept.offered(instructions=words, name="x" * 200)
    kept.ledger.record(order.id, "note", {"text": words})
    assert verified(exported(kept, order.id)).ok


@pytest.mark.usefixtures("at_once")
def test_what_the_store_has_lost_is_told_and_the_rest_is_exported(kept: Records) -> None:
    order = kept.closed()
    lost, changed = kept.store.path(order.dossier.label_sha256), kept.store.path(order.dossier.photos["photo-1"])
    lost.unlink()
    changed.write_bytes(b"another picture")
    archive = exported(kept, order.id)
    assert {missing["name"] for missing in told(archive, "missing.json")} == {"label.pdf", "photos/1.bin"}  # type: ignore[attr-defined]
    assert "label.pdf" not in read(archive) and verified(archive).ok


@pytest.mark.usefixtures("at_once")
def test_an_unknown_order_and_a_place_that_cannot_be_written_are_told(kept: Records) -> None:
    with pytest.raises(Refused, check=lambda error: error.code == "no_such_order"):
        exported(kept, "o-none")
    order = kept.offered()
    with pytest.raises(Refused, check=lambda error: error.code == "cannot_write" and bool(error.hint)):
        asyncio.run(export(order.id, kept.ledger, kept.store, kept.folder / "no" / "where.zip", "1"))


# --- what is found -----------------------------------------------------------------------------------------------------
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_any_one_byte_that_is_changed_is_found(archive: bytes, place: float, flip: int) -> None:
    at = int(place * len(archive))
    changed = bytearray(archive)
    changed[at] ^= flip
    found = verified(bytes(changed))
    assert not found.ok
    assert found.findings and all(finding.text for finding in found.findings)


def test_every_single_byte_of_a_small_one(tmp_path: Path) -> None:
    """Headers, names, dates, flags, manifest, seal and directory: all of them, once each."""
    with records(tmp_path) as kept:
        story = story_of(kept.offered().id, kept.ledger)
    facts = {name: documents(story)[name] for name in ("events.json", "decision.json")}
    small = b"".join(written(sealed(facts, story.order.id, chain_end(story), "1")))
    assert verified(small).ok
    unseen = [at for at in range(len(small)) if verified(small[:at] + bytes([small[at] ^ 1 << at % 8]) + small[at + 1 :]).ok]
    assert unseen == []


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_cut_off_or_added_is_found(archive: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(archive) - 1))
    assert not verified(archive[:at]).ok
    assert not verified(archive[:at] + data.draw(st.binary(min_size=1, max_size=9)) + archive[at:]).ok


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_whatever_is_no_dossier_is_told_so(content: bytes) -> None:
    for start in (b"", b"PK\x03\x04", b"PK\x05\x06"):
        assert not verified(start + content).ok


def test_members_that_were_left_out_or_smuggled_in_or_swapped_are_found(archive: bytes) -> None:
    members = read(archive)
    without = {name: content for name, content in members.items() if name != "label.pdf"}
    more = {"note.txt": b"hello", **members}
    swapped = {**members, "photos/1.jpg": members["photos/2.jpg"], "photos/2.jpg": members["photos/1.jpg"]}
    turned = dict(reversed(members.items()))
    for changed, what in ((without, "label.pdf"), (more, "note.txt"), (swapped, "photos/1.jpg"), (turned, "")):
        found = verified(b"".join(written(changed)))
        assert not found.ok and found.findings[0].member == what, what


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../b", "a\nb", ""])
def test_a_member_that_would_be_unpacked_elsewhere_is_found(name: str) -> None:
    with pytest.raises(Damaged):
        read(b"".join(written({name: b"x"})))


# --- what only the ledger knows ----------------------------------------------------------------------------------------
def forged(archive: bytes) -> bytes:
    """By somebody who knows how: the day and the words of an event changed, the chain and the seal made anew."""
    members = {name: content for name, content in read(archive).items() if name not in (MANIFEST, SEAL)}
    manifest = json.loads(read(archive)[MANIFEST])
    events, prev = json.loads(members["events.json"]), "0" * 64
    events[-1]["data"]["by"] = "Mallory"
    for event in events:
        event["prev_hash"] = prev
        prev = event["hash"] = event_hash(prev, event["order_id"], event["n"], event["at"], event["kind"], event["data"])
    members["events.json"] = canonical(events)
    end = ChainEnd(n=len(events), hash=prev)
    return b"".join(written(sealed(members, manifest["order_id"], end, manifest["made_with"])))


@pytest.mark.usefixtures("at_once")
def test_a_file_written_anew_as_a_whole_is_found_by_the_ledger_or_the_noted_seal_and_only_by_them(kept: Records) -> None:
    order = kept.closed()
    true = exported(kept, order.id)
    false = forged(true)
    seal = verified(true).seal
    assert verified(true, kept.ledger, seal).ok
    assert verified(false).ok, "alone nobody can tell; that is what the docs say"
    assert not verified(false, seal=seal).ok
    found = verified(false, kept.ledger)
    assert (found.ok, found.findings[0].member) == (False, "events.json")


@pytest.mark.usefixtures("at_once")
def test_facts_beside_the_history_are_held_against_the_ledger_too(kept: Records) -> None:
    order = kept.closed()
    members = {name: content for name, content in read(exported(kept, order.id)).items() if name not in (MANIFEST, SEAL)}
    members["plates.json"] = members["plates.json"].replace(b"15 %", b"90 %")
    story = story_of(order.id, kept.ledger)
    changed = b"".join(written(sealed(members, order.id, chain_end(story), "1.2.3")))
    assert verified(changed).ok
    assert [finding.member for finding in verified(changed, kept.ledger).findings] == ["plates.json"]


@pytest.mark.usefixtures("at_once")
def test_an_order_that_went_on_still_vouches_for_its_beginning(kept: Records) -> None:
    order = kept.offered()
    early = exported(kept, order.id)
    kept.ledger.move(kept.ledger.order(order.id), OrderMove(to=State.DECLINED, event="declined"))
    found = verified(early, kept.ledger)
    assert (found.ok, found.ledger_goes_on) == (True, True)


def test_another_ledger_does_not_know_it(kept: Records, archive: bytes) -> None:
    found = verified(archive, kept.ledger)
    assert not found.ok and "does not know" in found.findings[0].text


def test_a_history_that_does_not_hold_together_is_found_though_it_is_sealed(kept: Records) -> None:
    story = story_of(kept.closed().id, kept.ledger)
    last = story.events[-1]
    late = last.model_copy(update={"at": last.at - timedelta(days=1)})
    facts = documents(story._replace(events=[*story.events[:-1], late]))
    found = verified(b"".join(written(sealed(facts, story.order.id, chain_end(story), "1"))))
    assert [finding.member for finding in found.findings] == ["events.json", "events.json"]


def test_no_file_is_no_answer(tmp_path: Path) -> None:
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(Refused, check=lambda error: error.code == "no_file"):
            verify(path)


@pytest.mark.usefixtures("at_once")
def test_without_the_font_it_can_still_be_read(kept: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.dossiers.press._FONTS", Path("/nowhere"))
    archive = exported(kept, kept.closed().id)
    text = PdfReader(io.BytesIO(read(archive)["dossier.pdf"])).pages[0].extract_text()
    assert "Haken größer.stl" in text and "<U+0142>" in text
