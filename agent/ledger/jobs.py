"""Jobs, beds and intents: what keeps a print from being started twice."""

import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, RowMapping, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from agent.domain.intent import Act, Intent
from agent.domain.job import HOLDS_PRINTER, Job, JobState, remote_name
from agent.domain.order import State
from agent.domain.print_time import PrintTime
from agent.domain.printer import BedState
from agent.domain.stock import Taking
from agent.ledger import tables as t
from agent.ledger.database import told_apart
from agent.ledger.orders import WANT_A_PRINTER, append_event, wake_states
from agent.ledger.stock import take
from agent.ports.ledger import Bed, Stale


def _job(row: RowMapping) -> Job:
    return Job.model_validate(dict(row))


def _intent(row: RowMapping) -> Intent:
    return Intent.model_validate(dict(row))


class JobRows:
    """The part of the ledger that keeps jobs, beds and intents."""

    _engine: Engine
    _now: Callable[[], datetime]
    _reading: Callable[[], Connection]

    def claim(self, order_id: str, plate: int, printer: str, gcode_sha256: str) -> Job | None:
        now = self._now()
        try:
            with told_apart(), self._engine.begin() as connection:
                if _state_of(connection, order_id) not in WANT_A_PRINTER:
                    return None
                if connection.execute(select(t.beds.c.state).where(t.beds.c.printer == printer)).scalar_one_or_none() != BedState.FREE:
                    return None
                of_plate = and_(t.jobs.c.order_id == order_id, t.jobs.c.plate == plate)
                attempt = (connection.execute(select(func.max(t.jobs.c.attempt)).where(of_plate)).scalar_one() or 0) + 1
                name = remote_name(order_id, plate, attempt, gcode_sha256)
                values = {
                    "order_id": order_id,
                    "plate": plate,
                    "attempt": attempt,
                    "printer": printer,
                    "remote_name": name,
                    "gcode_sha256": gcode_sha256,
                    "state": JobState.CLAIMED,
                    "version": 1,
                }
                made = connection.execute(insert(t.jobs).values(**values, created_at=now))
                append_event(
                    connection, order_id, now, "job_claimed", {"printer": printer, "plate": plate, "attempt": attempt, "remote_name": name}
                )
        except IntegrityError:
            return None  # another job has the printer
        return Job(id=_id_of(made), **values)

    def jobs(self, order_id: str) -> Sequence[Job]:
        query = select(t.jobs).where(t.jobs.c.order_id == order_id).order_by(t.jobs.c.plate, t.jobs.c.attempt)
        with told_apart(), self._reading() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def active_jobs(self) -> Sequence[Job]:
        with told_apart(), self._reading() as connection:
            # Sorted here: in the order of their ids SQLite would read all jobs.
            return sorted((_job(row) for row in connection.execute(select(t.jobs).where(t.HOLDS)).mappings()), key=lambda job: job.id)

    def printers_at_work(self) -> Set[str]:
        with told_apart(), self._reading() as connection:
            return set(connection.execute(select(t.jobs.c.printer).where(t.HOLDS)).scalars())

    def idle_printers(self) -> Set[str]:
        with told_apart(), self._reading() as connection:
            free = set(connection.execute(select(t.beds.c.printer).where(t.beds.c.state == BedState.FREE)).scalars())
        return free - self.printers_at_work()

    def knows_job(self, remote_name: str) -> bool:
        with told_apart(), self._reading() as connection:
            return connection.execute(select(t.jobs.c.id).where(t.jobs.c.remote_name == remote_name)).one_or_none() is not None

    def move_job(
        self,
        job: Job,
        to: JobState,
        event: str,
        data: Mapping[str, Any],
        bed: BedState | None = None,
        settles: Intent | None = None,
        took: PrintTime | None = None,
        takes: Taking | None = None,
    ) -> Job:
        now = self._now()
        with told_apart(), self._engine.begin() as connection:
            self._swap_job(connection, job, to)
            about = {"job": job.remote_name, "printer": job.printer, "from": job.state, "to": to, **data}
            append_event(connection, job.order_id, now, event, about)
            if bed is BedState.FREE:
                _free_bed_of(connection, job, now)
            elif bed is not None:
                _write_bed(connection, job.printer, bed, job.remote_name, now)
            if settles is not None:
                connection.execute(update(t.intents).where(t.intents.c.id == settles.id).values(outcome={"event": event, **data}))
            if took is not None:
                connection.execute(insert(t.print_times).values(job_id=job.id, **took.model_dump()))
            if takes is not None:
                take(connection, job.order_id, takes, now)
            if to not in HOLDS_PRINTER or bed is BedState.FREE:
                wake_states(connection, WANT_A_PRINTER, now, but=job.order_id)
        return _moved(job, to)

    def print_times(self, printer: str, profile: str, slicer: str, latest: int) -> Sequence[PrintTime]:
        times = t.print_times
        same = and_(times.c.printer == printer, times.c.profile == profile, times.c.slicer == slicer)
        query = select(times).where(same).order_by(times.c.job_id.desc()).limit(latest)
        with told_apart(), self._reading() as connection:
            return [PrintTime.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def open_start(self, job: Job) -> tuple[Job, Intent]:
        now, key = self._now(), secrets.token_hex(16)
        with told_apart(), self._engine.begin() as connection:
            if _state_of(connection, job.order_id) != State.PRINTING:
                raise Stale(f"order {job.order_id} is not printing any more")
            self._swap_job(connection, job, JobState.STARTING)
            tries = connection.execute(
                select(func.count())
                .select_from(t.intents)
                .where(and_(t.intents.c.order_id == job.order_id, t.intents.c.subject.startswith(f"{job.remote_name}#", autoescape=True)))
            ).scalar_one()
            subject = f"{job.remote_name}#{tries + 1}"
            values = {"order_id": job.order_id, "act": Act.START, "subject": subject, "key": key, "opened_at": now}
            made = connection.execute(insert(t.intents).values(**values))
            _write_bed(connection, job.printer, BedState.OCCUPIED, job.remote_name, now)
            append_event(connection, job.order_id, now, "start_intended", {"job": job.remote_name, "printer": job.printer})
        return _moved(job, JobState.STARTING), Intent(id=_id_of(made), **values)

    def beds(self) -> Mapping[str, Bed]:
        with told_apart(), self._reading() as connection:
            return {row["printer"]: Bed.model_validate(dict(row)) for row in connection.execute(select(t.beds)).mappings()}

    def set_bed(self, printer: str, state: BedState, said_by: str) -> None:
        with told_apart(), self._engine.begin() as connection:
            _write_bed(connection, printer, state, said_by, self._now())
            if state is BedState.FREE:
                wake_states(connection, WANT_A_PRINTER, self._now())

    def intent(self, order_id: str, act: Act, subject: str = "") -> tuple[Intent, bool]:
        values = {"order_id": order_id, "act": act, "subject": subject, "key": secrets.token_hex(16), "opened_at": self._now()}
        try:
            with told_apart(), self._engine.begin() as connection:
                made = connection.execute(insert(t.intents).values(**values))
                append_event(connection, order_id, self._now(), "intended", {"act": act, "subject": subject})
            return Intent(id=_id_of(made), **values), True
        except IntegrityError:  # it is there already
            query = select(t.intents).where(and_(t.intents.c.order_id == order_id, t.intents.c.act == act, t.intents.c.subject == subject))
        with told_apart(), self._reading() as connection:
            return _intent(connection.execute(query).mappings().one()), False

    def open_intent(self, order_id: str, act: Act, subject: str = "") -> Intent | None:
        query = select(t.intents).where(and_(t.intents.c.order_id == order_id, t.intents.c.act == act, t.intents.c.outcome.is_(None)))
        if subject:
            query = query.where(t.intents.c.subject.startswith(subject, autoescape=True))
        with told_apart(), self._reading() as connection:
            row = connection.execute(query.order_by(t.intents.c.id.desc()).limit(1)).mappings().one_or_none()
        return None if row is None else _intent(row)

    def settle(self, intent: Intent, outcome: Mapping[str, Any]) -> None:
        with told_apart(), self._engine.begin() as connection:
            connection.execute(update(t.intents).where(t.intents.c.id == intent.id).values(outcome=dict(outcome)))

    def _swap_job(self, connection: Connection, job: Job, to: JobState) -> None:
        held = and_(t.jobs.c.id == job.id, t.jobs.c.version == job.version)
        moved = connection.execute(update(t.jobs).where(held).values(state=to, version=job.version + 1))
        if moved.rowcount != 1:
            raise Stale(f"job {job.remote_name} is no longer at version {job.version}")


def _id_of(made: CursorResult[Any]) -> int:
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def _moved(job: Job, to: JobState) -> Job:
    return job.model_copy(update={"state": to, "version": job.version + 1})


def _state_of(connection: Connection, order_id: str) -> str | None:
    return connection.execute(select(t.orders.c.state).where(t.orders.c.id == order_id)).scalar_one_or_none()


def _free_bed_of(connection: Connection, job: Job, now: datetime) -> None:
    """Take back what this job did to the bed; what somebody else did to it since then stays."""
    by_this_job = and_(t.beds.c.printer == job.printer, t.beds.c.state == BedState.OCCUPIED, t.beds.c.said_by == job.remote_name)
    connection.execute(update(t.beds).where(by_this_job).values(state=BedState.FREE, since=now))


def _write_bed(connection: Connection, printer: str, state: BedState, said_by: str, now: datetime) -> None:
    values = {"state": state, "since": now, "said_by": said_by}
    if connection.execute(update(t.beds).where(t.beds.c.printer == printer).values(**values)).rowcount == 0:
        connection.execute(insert(t.beds).values(printer=printer, **values))
