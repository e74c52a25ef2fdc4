"""Whoever the agent asks, in tests that let it die and live again."""

from agent.domain.question import Question, Step
from agent.ledger.files import DiskStore
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.answers import Answers
from tests.workflow.workshop import Outside


class Person:
    """Does what is asked, each thing when it is asked, and never more."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self._photo = outside.folder / "photo.jpg"
        self._photo.write_bytes(b"\xff\xd8\xff\xe0 a photo")

    def act(self, ledger: SqlLedger) -> None:
        answers = Answers(ledger, DiskStore(self.outside.folder / "files"), "Ada")
        for question in ledger.open_questions():
            match question.step:
                case Step.BED:
                    answers.bed_is_clear(question.printer)
                case Step.PHOTOS:
                    answers.photographed(question.order_id, [self._photo], ["no_flaws"])
                case Step.HOLD:
                    self.told_of_a_hold(answers, question)
                case step:
                    answers.choose(step, question.order_id, "")

    def told_of_a_hold(self, answers: Answers, question: Question) -> None:  # noqa: ARG002 (for others)
        raise AssertionError(f"the agent asks what it should know: {question.text}")
