"""What marketplaces were asked to send."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from agent.domain.intent import NewSupplyIntent, SupplyIntent
from agent.ledger import tables as t
from agent.ledger.database import told_apart


class SupplyRows:
    """The part of the ledger that keeps what was asked for."""

    _engine: Engine
    _now: Callable[[], datetime]
    _reading: Callable[[], Connection]

    def intend_supplies(self, new: NewSupplyIntent) -> tuple[SupplyIntent, bool]:
        values = {**new.model_dump(), "opened_at": self._now()}
        try:
            with told_apart(), self._engine.begin() as connection:
                if (found := _found(connection, new)) is not None:
                    return found, False
                made = connection.execute(insert(t.supply_intents).values(**values)).inserted_primary_key
                assert made is not None
                return SupplyIntent(id=made[0], **values), True
        except IntegrityError:  # somebody else was faster by a hair
            with told_apart(), self._reading() as connection:
                found = _found(connection, new)
            assert found is not None, "nothing is ever taken out"
            return found, False

    def open_supply_intents(self) -> Sequence[SupplyIntent]:
        query = select(t.supply_intents).where(t.supply_intents.c.outcome.is_(None)).order_by(t.supply_intents.c.id)
        with told_apart(), self._reading() as connection:
            return [SupplyIntent.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def settle_supplies(self, intent: SupplyIntent, outcome: Mapping[str, Any]) -> None:
        still_open = and_(t.supply_intents.c.id == intent.id, t.supply_intents.c.outcome.is_(None))
        with told_apart(), self._engine.begin() as connection:
            connection.execute(update(t.supply_intents).where(still_open).values(outcome=dict(outcome)))


def _found(connection: Connection, new: NewSupplyIntent) -> SupplyIntent | None:
    """The open one first: it is settled before anything else is asked for."""
    rows, same = t.supply_intents.c, and_(t.supply_intents.c.marketplace == new.marketplace, t.supply_intents.c.kind == new.kind)
    is_open = connection.execute(select(t.supply_intents).where(and_(same, rows.outcome.is_(None)))).mappings().one_or_none()
    if is_open is not None:
        return SupplyIntent.model_validate(dict(is_open))
    of_key = connection.execute(select(t.supply_intents).where(rows.key == new.key).order_by(rows.id.desc()).limit(1)).mappings()
    last = of_key.one_or_none()
    return SupplyIntent.model_validate(dict(last)) if last is not None and "request" in last["outcome"] else None
