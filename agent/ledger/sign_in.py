"""People, their sessions, pairing codes, and tokens for scripts."""

import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from agent.domain.errors import Refused
from agent.domain.person import ApiToken, Person, Role, Scope, Session
from agent.ledger import tables as t
from agent.ledger.database import told_apart

IDLE = timedelta(days=30)
"""A session that was not used for so long is over."""
_NOTED_EVERY = timedelta(hours=1)
"""Looking at a page is not to cost a write each time."""


def _key(name: str) -> str:
    """Two names that look alike are one."""
    return unicodedata.normalize("NFKC", name).casefold()


def _session(row: RowMapping) -> Session:
    person = Person(id=row["person_id"], name=row["name"], role=row["role"], added_at=row["added_at"])
    return Session(id=row["id"], person=person, device=row["device"], began_at=row["began_at"], seen_at=row["seen_at"])


class SignInRows:
    """The part of the ledger that keeps who may sign in. Implements ports.people.People."""

    _engine: Engine
    _now: Callable[[], datetime]
    _reading: Callable[[], Connection]

    # --- people ------------------------------------------------------------------------------------------------
    def people(self) -> Sequence[Person]:
        with told_apart(), self._reading() as connection:
            return [Person.model_validate(dict(row)) for row in connection.execute(select(t.people).order_by(t.people.c.key)).mappings()]

    def set_role(self, name: str, role: Role) -> None:
        with told_apart(), self._engine.begin() as connection:
            connection.execute(update(t.people).where(t.people.c.id == _id_of(connection, name)).values(role=role))

    def remove_person(self, name: str) -> None:
        with told_apart(), self._engine.begin() as connection:
            person_id = _id_of(connection, name)
            connection.execute(delete(t.sessions).where(t.sessions.c.person_id == person_id))
            connection.execute(delete(t.pairings).where(t.pairings.c.name == name))
            connection.execute(delete(t.people).where(t.people.c.id == person_id))

    # --- pairing -----------------------------------------------------------------------------------------------
    def add_pairing(self, code_sha256: str, role: Role, name: str, until: datetime) -> None:
        with told_apart(), self._engine.begin() as connection:
            connection.execute(delete(t.pairings).where(t.pairings.c.until <= self._now()))
            connection.execute(insert(t.pairings).values(code_sha256=code_sha256, role=role, name=name, until=until))

    def pair(self, code_sha256: str, name: str, session_sha256: str, device: str) -> Person:
        now = self._now()
        with told_apart(), self._engine.begin() as connection:
            code = connection.execute(select(t.pairings).where(t.pairings.c.code_sha256 == code_sha256)).mappings().one_or_none()
            spent = connection.execute(delete(t.pairings).where(t.pairings.c.code_sha256 == code_sha256)).rowcount
            if code is None or spent != 1 or code["until"] <= now:
                hint = "Ask for a new one: `intagly-agent pair` on the agent's machine."
                raise Refused("This code is not valid, or not any more.", hint=hint, code="bad_code")
            person = _person_of_code(connection, code, name, now)
            values = {"person_id": person.id, "secret_sha256": session_sha256, "device": device[:200], "began_at": now, "seen_at": now}
            connection.execute(insert(t.sessions).values(**values))
        return person

    # --- sessions ----------------------------------------------------------------------------------------------
    def session(self, session_sha256: str) -> Session | None:
        with told_apart(), self._reading() as connection:
            row = connection.execute(_SESSIONS.where(t.sessions.c.secret_sha256 == session_sha256)).mappings().one_or_none()
        if row is None or row["seen_at"] <= self._now() - IDLE:
            return None
        if row["seen_at"] <= self._now() - _NOTED_EVERY:
            with told_apart(), self._engine.begin() as connection:
                connection.execute(update(t.sessions).where(t.sessions.c.id == row["id"]).values(seen_at=self._now()))
        return _session(row)

    def sessions(self) -> Sequence[Session]:
        with told_apart(), self._reading() as connection:
            alive = _SESSIONS.where(t.sessions.c.seen_at > self._now() - IDLE).order_by(t.people.c.key, t.sessions.c.id)
            return [_session(row) for row in connection.execute(alive).mappings()]

    def end_session(self, session_sha256: str) -> None:
        with told_apart(), self._engine.begin() as connection:
            connection.execute(delete(t.sessions).where(t.sessions.c.secret_sha256 == session_sha256))

    def sign_out(self, name: str) -> int:
        with told_apart(), self._engine.begin() as connection:
            return connection.execute(delete(t.sessions).where(t.sessions.c.person_id == _id_of(connection, name))).rowcount

    # --- tokens for scripts ------------------------------------------------------------------------------------
    def add_token(self, name: str, token_sha256: str, scopes: Sequence[Scope], made_by: str) -> None:
        values = {"name": name, "secret_sha256": token_sha256, "scopes": list(scopes), "made_by": made_by, "made_at": self._now()}
        try:
            with told_apart(), self._engine.begin() as connection:
                connection.execute(insert(t.api_tokens).values(**values))
        except IntegrityError as error:
            raise Refused(f"There is a token {name} already.", hint="Revoke it, or give another name.", code="name_taken") from error

    def token(self, token_sha256: str) -> ApiToken | None:
        query = select(t.api_tokens).where(t.api_tokens.c.secret_sha256 == token_sha256)
        with told_apart(), self._reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else ApiToken.model_validate(dict(row))

    def tokens(self) -> Sequence[ApiToken]:
        with told_apart(), self._reading() as connection:
            rows = connection.execute(select(t.api_tokens).order_by(t.api_tokens.c.name)).mappings()
            return [ApiToken.model_validate(dict(row)) for row in rows]

    def revoke_token(self, name: str) -> None:
        with told_apart(), self._engine.begin() as connection:
            if connection.execute(delete(t.api_tokens).where(t.api_tokens.c.name == name)).rowcount != 1:
                raise KeyError(name)


_SESSIONS = select(t.sessions, t.people.c.name, t.people.c.role, t.people.c.added_at).join(t.people)


def _id_of(connection: Connection, name: str) -> int:
    found = connection.execute(select(t.people.c.id).where(t.people.c.key == _key(name))).scalar_one_or_none()
    if found is None:
        raise KeyError(name)
    return int(found)


def _person_of_code(connection: Connection, code: RowMapping, said: str, now: datetime) -> Person:
    """Whom the code lets in. What is raised here undoes that it was spent."""
    name = str(code["name"] or said)
    if not name:
        raise Refused("It is not known who you are.", hint="Say your name.", code="name_needed")
    query = select(t.people).where(t.people.c.key == _key(name))
    found = connection.execute(query).mappings().one_or_none()
    if found is not None and not code["name"]:
        hint = f"Is it you? `intagly-agent pair --name '{found['name']}'` makes a code for another device of yours."
        raise Refused(f"There is a {found['name']} here already.", hint=hint, code="name_taken")
    if found is None:
        if connection.execute(select(t.people.c.id).limit(1)).one_or_none() is None:
            connection.execute(delete(t.pairings))  # what earlier starts told while there was nobody
        connection.execute(insert(t.people).values(name=name, key=_key(name), role=code["role"], added_at=now))
        found = connection.execute(query).mappings().one()
    return Person.model_validate(dict(found))
