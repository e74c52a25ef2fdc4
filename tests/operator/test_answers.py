"""A person's answers over the real ledger and file store: what is taken, what is refused, and that nobody else agrees."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.errors import Refused
from agent.domain.job import JobState
from agent.domain.offer import Agreement
from agent.domain.order import Order, State
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Question, Step
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.answers import LARGEST_PHOTO_BYTES, LONGEST_NOTE, Answers, is_person, job_on
from agent.ports.ledger import OrderMove, Stale
from agent.sandbox.marketplace import bodies
from agent.sandbox.person import NAME
from tests.ledger.offers import add_offer
from tests.workflow.workshop import make_offer

JPEG = b"\xff\xd8\xff\xe0 a photo"
PNG = b"\x89PNG\r\n\x1a\n a photo"
WEBP = b"RIFF\x10\0\0\0WEBPVP8 a photo"
SENTENCES = [{"code": "inspected", "text": "I have looked at every part."}, {"code": "as_ordered", "text": "It is as ordered."}]


class Workbench:
    """An order in the ledger, and a person who answers."""

    def __init__(self, ledger: SqlLedger, folder: Path) -> None:
        self.ledger = ledger
        self.store = DiskStore(folder / "files")
        self.store.open()
        self.photo = folder / "front.jpg"
        self.photo.write_bytes(JPEG)
        added = add_offer(ledger, "market", make_offer(), datetime.now(UTC) + timedelta(minutes=15))
        assert added is not None
        self.order: Order = ledger.move(added, OrderMove(to=State.PRINTING, event="print_begun"))

    def answers(self, name: str = "Ada Example") -> Answers:
        return Answers(self.ledger, self.store, name)

    def ask(self, step: Step, printer: str = "", **about: Any) -> Question:
        return self.ledger.ask(self.order, NewQuestion(step=step, text="What now?", **about), printer)

    def ask_for_photos(self, sentences: list[dict[str, str]] | None = None) -> Question:
        return self.ask(Step.PHOTOS, data={"attestations": SENTENCES if sentences is None else sentences})

    def answered(self, step: Step) -> Question:
        question = self.ledger.question(self.order.id, step)
        assert question is not None
        return question

    def unanswered(self, step: Step) -> bool:
        return self.answered(step).answered_at is None

    def job(self, state: JobState) -> None:
        """A job on mk3s in this state."""
        self.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        job = self.ledger.claim(self.order.id, 1, "mk3s", "a" * 64)
        assert job is not None
        if state is not JobState.CLAIMED:
            self.ledger.move_job(job, state, "test", {}, BedState.OCCUPIED)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        yield Workbench(ledger, tmp_path)


def refused(code: str) -> Any:
    """A block that must be refused with this code and say how to go on."""
    return pytest.raises(Refused, check=lambda error: error.code == code and bool(error.hint))


# --- the bed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Ada", "root", "pi", "intagly-agent"])
def test_a_bed_is_clear_when_somebody_says_so(bench: Workbench, name: str) -> None:
    bench.ask(Step.BED, "mk3s", choices={"clear": "it is clear"})
    bench.ask(Step.BED, "mk4", choices={"clear": "it is clear"})
    bench.answers(name).bed_is_clear("mk3s")
    bed = bench.ledger.beds()["mk3s"]
    assert (bed.state, bed.said_by) == (BedState.FREE, name)
    assert [question.printer for question in bench.ledger.open_questions()] == ["mk4"]


@pytest.mark.parametrize("state", [JobState.STARTING, JobState.PRINTING])
def test_a_bed_is_not_clear_while_it_is_printed_on(bench: Workbench, state: JobState) -> None:
    bench.job(state)
    with refused("printing"):
        bench.answers().bed_is_clear("mk3s")
    assert bench.ledger.beds()["mk3s"].state is BedState.OCCUPIED


@pytest.mark.parametrize("state", [JobState.CLAIMED, JobState.UPLOADED, JobState.FINISHED, JobState.FAILED])
def test_a_bed_may_be_cleared_before_and_after(bench: Workbench, state: JobState) -> None:
    bench.job(state)
    bench.answers().bed_is_clear("mk3s")
    assert bench.ledger.beds()["mk3s"].state is BedState.FREE
    assert (job_on(bench.ledger, "mk3s") is None) == (state is JobState.FAILED)
    assert job_on(bench.ledger, "mk4") is None


@pytest.mark.parametrize("name", ["", "  ", "\t\n", "x" * 201, "\x1b[2J", "zero\u200bwidth"])
def test_nobody_says_nothing(bench: Workbench, name: str) -> None:
    bench.ask(Step.BED, "mk3s")
    bench.ask(Step.PACKED, choices={"packed": "it is packed"})
    with refused("person_required"):
        bench.answers(name).bed_is_clear("mk3s")
    with refused("person_required"):
        bench.answers(name).choose(Step.PACKED, bench.order.id, "packed")
    assert bench.ledger.beds() == {}
    assert len(bench.ledger.open_questions()) == 2


# --- choices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Ada", "root", "intagly-agent"])
@pytest.mark.parametrize("step", [Step.OFFER, Step.HOLD, Step.POST_PROCESSING, Step.LABEL, Step.PACKED, Step.DROPPED_OFF])
def test_a_choice_is_taken_with_the_name(bench: Workbench, step: Step, name: str) -> None:
    bench.ask(step, choices={"yes": "do it", "no": "leave it"})
    bench.answers(f"  {name} ").choose(step, bench.order.id, "yes", {"place": "post office"})
    question = bench.answered(step)
    assert (question.answer, question.answered_by) == ({"choice": "yes", "place": "post office"}, name)


def test_the_only_choice_needs_no_saying(bench: Workbench) -> None:
    bench.ask(Step.PACKED, choices={"packed": "it is packed"})
    bench.answers().choose(Step.PACKED, bench.order.id, "")
    assert bench.answered(Step.PACKED).answer == {"choice": "packed"}


@given(choice=st.text(max_size=20))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_what_was_not_offered_is_no_answer(bench: Workbench, choice: str) -> None:
    bench.ask(Step.HOLD, choices={"retry": "again", "cancel": "give up"})
    if choice not in ("retry", "cancel"):
        with refused("no_such_choice"):
            bench.answers().choose(Step.HOLD, bench.order.id, choice)
    assert bench.unanswered(Step.HOLD)


def test_a_question_without_choices_is_not_answered_with_one(bench: Workbench) -> None:
    bench.ask_for_photos()
    with refused("no_such_choice"):
        bench.answers().choose(Step.PHOTOS, bench.order.id, "")


def test_what_nobody_asked_cannot_be_answered(bench: Workbench) -> None:
    with pytest.raises(Refused, match="does not wait for 'packed'") as nothing:
        bench.answers().choose(Step.PACKED, bench.order.id, "packed")
    assert nothing.value.hint == "What waits: nothing."
    bench.ask(Step.LABEL, choices={"printed": "it is"})
    bench.ask(Step.BED, "mk3s")
    with pytest.raises(Refused) as other:
        bench.answers().choose(Step.PACKED, bench.order.id, "packed")
    assert other.value.hint == f"What waits: bed mk3s, label {bench.order.id}."
    with refused("not_asked"):
        bench.answers().choose(Step.LABEL, "o-another", "printed")


def test_a_question_is_answered_once(bench: Workbench) -> None:
    question = bench.ask(Step.HOLD, choices={"retry": "again", "cancel": "give up"})
    bench.answers().choose(Step.HOLD, bench.order.id, "retry")
    with refused("not_asked"):
        bench.answers("Bob").choose(Step.HOLD, bench.order.id, "cancel")
    with pytest.raises(Stale):
        bench.ledger.answer(question, {"choice": "cancel"}, "Bob")  # two at the same moment: the second is told
    assert bench.answered(Step.HOLD).answered_by == "Ada Example"


# --- photos, and what is agreed to with them ---------------------------------------------------------------------


def test_photos_and_agreements_are_kept_as_they_were_given(bench: Workbench) -> None:
    bench.ask_for_photos()
    back = bench.photo.with_name("back.png")
    back.write_bytes(PNG)
    bench.answers().photographed(bench.order.id, [bench.photo, back], ["as_ordered", "inspected", "more"], "Thank you", "box 2")
    answer = bench.answered(Step.PHOTOS).answer
    assert answer["photos"] == {"photo-1": hashlib.sha256(JPEG).hexdigest(), "photo-2": hashlib.sha256(PNG).hexdigest()}
    assert all(bench.store.has(sha256) for sha256 in answer["photos"].values())
    assert (answer["customer_note"], answer["internal_note"]) == ("Thank you", "box 2")
    agreements = [Agreement.model_validate(agreement) for agreement in answer["agreements"]]
    assert [(made.code, made.agreed_by) for made in agreements] == [("inspected", "Ada Example"), ("as_ordered", "Ada Example")]
    assert agreements[0].text_sha256 == hashlib.sha256(b"I have looked at every part.").hexdigest()
    assert abs(datetime.now(UTC) - agreements[0].agreed_at) < timedelta(minutes=1)


@pytest.mark.parametrize("agreed", [[], ["inspected"], ["as_ordered"], ["INSPECTED", "as ordered"]])
def test_every_sentence_or_none(bench: Workbench, agreed: list[str]) -> None:
    bench.ask_for_photos()
    with refused("not_agreed"):
        bench.answers().photographed(bench.order.id, [bench.photo], agreed)
    assert bench.unanswered(Step.PHOTOS)


@pytest.mark.parametrize(
    "name",
    ["", " ", "root", "ROOT", " pi ", "intagly-agent", "Intagly Agent", "the daemon", "print-bot", "cron", "42", "www-data", "-", "null"],
)
def test_a_program_cannot_agree(bench: Workbench, name: str) -> None:
    bench.ask_for_photos()
    with refused("person_required"):
        bench.answers(name).photographed(bench.order.id, [bench.photo], ["inspected", "as_ordered"])
    assert bench.unanswered(Step.PHOTOS)
    assert not bench.store.has(hashlib.sha256(JPEG).hexdigest())


@pytest.mark.parametrize("name", ["Ada", "ada", "Ada Root", "Jürgen Null", "李", "Pi Patel", "O'Neill", "Abbot", NAME])
def test_a_person_can(bench: Workbench, name: str) -> None:
    bench.ask_for_photos()
    bench.answers(name).photographed(bench.order.id, [bench.photo], ["inspected", "as_ordered"])
    assert bench.answered(Step.PHOTOS).answer["agreements"][0]["agreed_by"] == name


words = st.sampled_from(["root", "agent", "Ada", "intagly", "admin", "pi", "-", "_", " ", "1", "bot", "daemon", "é"])


@settings(deadline=None)
@given(st.one_of(st.text(max_size=20), st.lists(words, max_size=4).map("".join)))
def test_whoever_we_take_for_a_person_the_marketplace_does_too(name: str) -> None:
    assert not is_person(name) or bodies.is_person(name)


@given(
    sentences=st.lists(
        st.fixed_dictionaries({"code": st.text("abc_", min_size=1, max_size=8), "text": st.text(max_size=50)}),
        max_size=4,
        unique_by=lambda sentence: sentence["code"],
    ),
    agreed=st.lists(st.text("abc_", max_size=8), max_size=4),
    note=st.text(max_size=50),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_nothing_is_agreed_that_was_not_said(bench: Workbench, sentences: list[dict[str, str]], agreed: list[str], note: str) -> None:
    question = bench.ask_for_photos(sentences)
    try:
        bench.answers().photographed(bench.order.id, [bench.photo], agreed, note)
    except Refused as error:
        assert error.code == "not_agreed"
        assert not {sentence["code"] for sentence in sentences} <= set(agreed)
    else:
        answer = bench.answered(Step.PHOTOS).answer
        assert {made["code"] for made in answer["agreements"]} == {sentence["code"] for sentence in sentences} <= set(agreed)
        assert answer["customer_note"] == note
    bench.ledger.settle_question(question)


def test_at_least_one_photo(bench: Workbench) -> None:
    bench.ask_for_photos()
    with refused("no_photos"):
        bench.answers().photographed(bench.order.id, [], ["inspected", "as_ordered"])


@pytest.mark.parametrize("content", [JPEG, PNG, WEBP])
def test_what_a_photo_is(bench: Workbench, content: bytes) -> None:
    bench.ask_for_photos([])
    bench.photo.write_bytes(content)
    bench.answers().photographed(bench.order.id, [bench.photo], [])
    assert bench.answered(Step.PHOTOS).answer["photos"] == {"photo-1": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"<svg/>", b"\xff\xd8", b"........WEBP", b"solid cube", JPEG + bytes(LARGEST_PHOTO_BYTES)]
)
def test_what_a_photo_is_not(bench: Workbench, content: bytes) -> None:
    bench.ask_for_photos([])
    bench.photo.write_bytes(content)
    with refused("no_photo"):
        bench.answers().photographed(bench.order.id, [bench.photo], [])
    assert bench.unanswered(Step.PHOTOS)


@pytest.mark.parametrize("path", ["/nowhere/front.jpg", "/", "/dev/zero", "/dev/null"])
def test_what_cannot_be_read_is_no_photo(bench: Workbench, path: str) -> None:
    bench.ask_for_photos([])
    with refused("no_photo"):
        bench.answers().photographed(bench.order.id, [Path(path)], [])


@pytest.mark.parametrize("which", ["customer_note", "internal_note"])
def test_a_note_that_the_marketplace_would_refuse_is_told_at_once(bench: Workbench, which: str) -> None:
    bench.ask_for_photos([])
    with refused("note_too_long"):
        bench.answers().photographed(bench.order.id, [bench.photo], [], **{which: "x" * (LONGEST_NOTE + 1)})
    bench.answers().photographed(bench.order.id, [bench.photo], [], **{which: "x" * LONGEST_NOTE})
    assert len(bench.answered(Step.PHOTOS).answer[which]) == LONGEST_NOTE


def test_photos_are_not_taken_before_they_are_asked_for(bench: Workbench) -> None:
    with refused("not_asked"):
        bench.answers().photographed(bench.order.id, [bench.photo], [])
