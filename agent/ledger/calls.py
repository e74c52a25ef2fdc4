"""Notices, calls and buttons."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    String,
    and_,
    cast,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from agent.domain.question import Question
from agent.ledger import tables as t
from agent.ledger.database import told_apart
from agent.ports.calls import Call, KeptButton, KeptNotice, Outcome
from agent.ports.notifier import Notice

_SAME_EVENT = timedelta(days=1)


class CallRows:
    """The part of the ledger that keeps who was called about what. Implements ports.calls.Calls."""

    _engine: Engine
    _now: Callable[[], datetime]
    _reading: Callable[[], Connection]

    # --- notices -----------------------------------------------------------------------------------------------
    def add_notice(self, key: str, run: str, notice: Notice) -> bool:
        now, subject = self._now(), f"{notice.order_id} {notice.printer}"[:200]
        told = notice.model_dump(mode="json", exclude={"buttons"}, exclude_defaults=True)
        values = {"key": key, "run": run, "event": notice.event, "subject": subject, "notice": told, "made_at": now, "snoozed_by": ""}
        try:
            with told_apart(), self._engine.begin() as connection:
                if subject.strip() and notice.step is None and _told_before(connection, run, subject, notice, now - _SAME_EVENT):
                    return False
                connection.execute(insert(t.notices).values(**values))
        except IntegrityError:
            return False
        return True

    def untold_questions(self, asked_before: datetime) -> Sequence[Question]:
        asked = t.questions.c
        waits = and_(asked.settled == false(), asked.answered_at.is_(None), asked.asked_at <= asked_before)
        told = exists().where(t.notices.c.key == literal("question ") + cast(asked.id, String))
        query = select(t.questions).where(and_(waits, ~told)).order_by(asked.asked_at, asked.id)
        with told_apart(), self._reading() as connection:
            return [Question.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def open_notices(self) -> Sequence[KeptNotice]:
        query = select(t.notices).where(t.notices.c.over == false()).order_by(t.notices.c.id)
        with told_apart(), self._reading() as connection:
            rows = connection.execute(query).mappings().all()
            made = connection.execute(select(t.calls).join(t.notices).where(t.notices.c.over == false())).mappings().all()
        calls: dict[int, dict[str, Call]] = {}
        for row in made:
            calls.setdefault(row["notice_id"], {})[row["person"]] = _call(row)
        return [KeptNotice.model_validate({**row, "calls": calls.get(row["id"], {})}) for row in rows]

    def close_notices(self, notices: Collection[int]) -> None:
        with told_apart(), self._engine.begin() as connection:
            connection.execute(update(t.notices).where(t.notices.c.id.in_(notices)).values(over=True))

    def snooze(self, notice: int, person: str, until: datetime) -> None:
        values = {"snoozed_until": until, "snoozed_by": person, "over": False}
        with told_apart(), self._engine.begin() as connection:
            connection.execute(update(t.notices).where(t.notices.c.id == notice).values(**values))

    def forget_calls(self, before: datetime) -> None:
        old = select(t.notices.c.id).where(and_(t.notices.c.over == true(), t.notices.c.made_at < before))
        with told_apart(), self._engine.begin() as connection:
            for table in (t.buttons, t.calls):
                connection.execute(delete(table).where(table.c.notice_id.in_(old)))
            connection.execute(delete(t.notices).where(and_(t.notices.c.over == true(), t.notices.c.made_at < before)))

    # --- calls -------------------------------------------------------------------------------------------------
    def begin_call(self, notices: Collection[int], person: str) -> None:
        now = self._now()
        with told_apart(), self._engine.begin() as connection:
            for notice in notices:
                values: dict[str, Any] = {"at": now, "outcome": Outcome.SENDING}
                if connection.execute(update(t.calls).where(_is(notice, person)).values(**values)).rowcount == 0:
                    connection.execute(insert(t.calls).values(notice_id=notice, person=person, tries=0, **values))

    def end_call(self, notices: Collection[int], person: str, outcome: Outcome) -> None:
        tries = t.calls.c.tries + 1 if outcome is Outcome.FAILED else 0
        ended = and_(t.calls.c.notice_id.in_(notices), t.calls.c.person == person)
        with told_apart(), self._engine.begin() as connection:
            connection.execute(update(t.calls).where(ended).values(at=self._now(), outcome=outcome, tries=tries))

    def latest_calls(self) -> Mapping[str, Call]:
        newest = select(t.calls.c.person, func.max(t.calls.c.at).label("at")).group_by(t.calls.c.person).subquery()
        query = select(t.calls).join(newest, and_(t.calls.c.person == newest.c.person, t.calls.c.at == newest.c.at))
        with told_apart(), self._reading() as connection:
            return {row["person"]: _call(row) for row in connection.execute(query).mappings()}

    # --- buttons -----------------------------------------------------------------------------------------------
    def add_button(self, secret_sha256: str, button: KeptButton) -> None:
        with told_apart(), self._engine.begin() as connection:
            connection.execute(insert(t.buttons).values(secret_sha256=secret_sha256, **button.model_dump()))

    def button(self, secret_sha256: str) -> KeptButton | None:
        with told_apart(), self._reading() as connection:
            row = connection.execute(select(t.buttons).where(t.buttons.c.secret_sha256 == secret_sha256)).mappings().one_or_none()
        return None if row is None else KeptButton.model_validate(dict(row))

    def press(self, secret_sha256: str) -> bool:
        unspent = and_(t.buttons.c.secret_sha256 == secret_sha256, t.buttons.c.pressed_at.is_(None))
        with told_apart(), self._engine.begin() as connection:
            return connection.execute(update(t.buttons).where(unspent).values(pressed_at=self._now())).rowcount == 1


def _told_before(connection: Connection, run: str, subject: str, notice: Notice, since: datetime) -> bool:
    """By an earlier life of the daemon, word for word, and nothing else was told of the order and printer since. From here on it counts as
    told by this one: what happens once more is told once more."""
    latest = select(t.notices).where(t.notices.c.subject == subject).order_by(t.notices.c.id.desc()).limit(1)
    row = connection.execute(latest).mappings().one_or_none()
    if row is None or row["run"] == run or row["made_at"] < since:
        return False
    if any(row["notice"][part] != getattr(notice, part) for part in ("event", "title", "text")):
        return False
    connection.execute(update(t.notices).where(t.notices.c.id == row["id"]).values(run=run))
    return True


def _is(notice: int, person: str) -> Any:
    return and_(t.calls.c.notice_id == notice, t.calls.c.person == person)


def _call(row: RowMapping) -> Call:
    return Call(at=row["at"], outcome=row["outcome"], tries=row["tries"])
