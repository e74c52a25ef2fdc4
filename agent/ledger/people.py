"""Questions to people and their answers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, and_, false, insert, select, update
from sqlalchemy.exc import IntegrityError

from agent.domain.order import Order
from agent.domain.question import NewQuestion, Question, Step
from agent.ledger import tables as t
from agent.ledger.database import told_apart
from agent.ledger.orders import append_event, wake_order
from agent.ports.ledger import Stale


def _question(row: RowMapping) -> Question:
    return Question.model_validate(dict(row))


class QuestionRows:
    """The part of the ledger that keeps what people are asked."""

    _engine: Engine
    _now: Callable[[], datetime]
    _reading: Callable[[], Connection]

    def ask(self, order: Order, question: NewQuestion, printer: str = "") -> Question:
        found = self.question(order.id, question.step, printer)
        if found is not None:
            return found
        now = self._now()
        try:
            with told_apart(), self._engine.begin() as connection:
                connection.execute(
                    insert(t.questions).values(
                        **question.model_dump(mode="json"), order_id=order.id, printer=printer, asked_at=now, answer={}, answered_by=""
                    )
                )
                asked = {"step": question.step, "text": question.text, "choices": question.choices, "printer": printer}
                append_event(connection, order.id, now, "asked", asked)
        except IntegrityError as error:
            raise Stale(f"order {order.id} was asked {question.step} by somebody else") from error
        asked_now = self.question(order.id, question.step, printer)
        assert asked_now is not None
        return asked_now

    def question(self, order_id: str, step: Step, printer: str = "") -> Question | None:
        of_step = and_(t.questions.c.order_id == order_id, t.questions.c.step == step, t.questions.c.printer == printer)
        with told_apart(), self._reading() as connection:
            query = select(t.questions).where(and_(of_step, t.questions.c.settled == false()))
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _question(row)

    def open_questions(self) -> Sequence[Question]:
        open_ = and_(t.questions.c.settled == false(), t.questions.c.answered_at.is_(None))
        with told_apart(), self._reading() as connection:
            rows = connection.execute(select(t.questions).where(open_).order_by(t.questions.c.asked_at, t.questions.c.id)).mappings()
            return [_question(row) for row in rows]

    def question_by_id(self, question_id: int) -> Question | None:
        with told_apart(), self._reading() as connection:
            row = connection.execute(select(t.questions).where(t.questions.c.id == question_id)).mappings().one_or_none()
        return None if row is None else _question(row)

    def answer(self, question: Question, answer: Mapping[str, Any], by: str, *, settles: bool = False) -> None:
        now = self._now()
        unanswered = and_(t.questions.c.id == question.id, t.questions.c.answered_at.is_(None), t.questions.c.settled == false())
        with told_apart(), self._engine.begin() as connection:
            values = {"answer": dict(answer), "answered_at": now, "answered_by": by, "settled": settles}
            if connection.execute(update(t.questions).where(unanswered).values(**values)).rowcount != 1:
                raise Stale("This question was answered meanwhile.", hint="Look at it again: `intagly-agent orders`.")
            append_event(connection, question.order_id, now, "answered", {"step": question.step, "answer": dict(answer), "by": by})
            wake_order(connection, question.order_id, now)

    def settle_question(self, question: Question) -> None:
        with told_apart(), self._engine.begin() as connection:
            connection.execute(update(t.questions).where(t.questions.c.id == question.id).values(settled=True))
