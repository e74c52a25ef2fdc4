"""Who refers to which file of the store.

What an order that has not ended mentions anywhere, as anything, is needed: whoever adds a new place for a sha256 loses nothing. Of an order
that ended it is known what a file is to it, from the places that are known here; mentioned in any other place, it is kept as well.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Text, cast, or_, select, true

from agent.domain.job import HOLDS_PRINTER
from agent.domain.order import ENDED, State
from agent.domain.retention import REMOVED, Claim, Kind
from agent.ledger import tables as t
from agent.ledger.database import told_apart
from agent.ledger.files import sha256_in

_ONLY_OFFERED = (State.DECLINED, State.EXPIRED, State.LOST)
_OPEN, _OVER = t.orders.c.state.not_in(ENDED), t.orders.c.state.in_(ENDED)
_ROWS_AT_ONCE = 100


class References(NamedTuple):
    """`needed`: named by an order that has not ended, or by a job that has a printer. `claims`: by orders that ended."""

    needed: Set[str]
    claims: Mapping[str, Sequence[Claim]]


class ReferenceRows:
    """The part of the ledger that knows whose a file is."""

    _reading: Callable[[], Connection]

    def references(self, among: Set[str]) -> References:
        """To these sha256. Reads the whole ledger, row by row: not for the daemon's own process."""
        with told_apart(), self._reading() as connection:
            needed = {sha256 for text in _texts_of_open(connection) for sha256 in sha256_in(text) if sha256 in among}
            claims: dict[str, list[Claim]] = defaultdict(list)
            for sha256, claim in _claims(connection, among):
                claims[sha256].append(claim)
        return References(needed, claims)


def _texts_of_open(connection: Connection) -> Iterator[str]:
    """Everything that is written of orders that have not ended, and the G-code of every job that has a printer."""
    for row in _rows(connection, [t.orders.c.dossier], _OPEN):
        yield row[0]
    of_orders = (
        (t.events.c.order_id, [t.events.c.data]),
        (t.questions.c.order_id, [t.questions.c.data, t.questions.c.answer]),
        (t.photo_uploads.c.order_id, [t.photo_uploads.c.checked]),
        (t.intents.c.order_id, [t.intents.c.outcome]),
    )
    for order_id, columns in of_orders:
        for row in _rows(connection, columns, _OPEN, order_id):
            yield from filter(None, row)
    for row in _rows(connection, [t.jobs.c.gcode_sha256], or_(_OPEN, t.jobs.c.state.in_(HOLDS_PRINTER)), t.jobs.c.order_id):
        yield row[0]
    for row in _rows(connection, [t.notices.c.notice], t.notices.c.over.is_not(true())):
        yield row[0]


def _claims(connection: Connection, among: Set[str]) -> Iterator[tuple[str, Claim]]:
    claimed: set[tuple[str, str]] = set()
    for order_id, sha256, kind, state, ended_at in _uses(connection):
        if sha256 in among and (kind is not None or (order_id, sha256) not in claimed):
            claimed.add((order_id, sha256))
            yield sha256, Claim(order_id, kind or Kind.OTHER, ended_at, State(state) not in _ONLY_OFFERED)


_Use = tuple[str, str, Kind | None, str, datetime]
"""Order, sha256, what it is to the order, the order's state and when it ended. Kind None: it is mentioned; kept where nothing better is
known of it, and told after all that is."""


def _uses(connection: Connection) -> Iterator[_Use]:
    order: list[Column[Any]] = [t.orders.c.id, t.orders.c.state, t.orders.c.updated_at]
    for order_id, state, at, dossier in _rows(connection, [*order, t.orders.c.dossier], _OVER):
        for sha256, kind in of_dossier(json.loads(dossier)):
            yield order_id, sha256, kind, state, at
    for order_id, state, at, sha256 in _rows(connection, [*order, t.jobs.c.gcode_sha256], _OVER, t.jobs.c.order_id):
        yield order_id, sha256, Kind.GCODE, state, at
    for order_id, state, at, text in _rows(connection, [*order, t.photo_uploads.c.checked], _OVER, t.photo_uploads.c.order_id):
        yield from ((order_id, sha256, Kind.PHOTO, state, at) for sha256 in sha256_in(text or ""))
    answers = _rows(connection, [*order, t.questions.c.answer], _OVER, t.questions.c.order_id)
    for order_id, state, at, text in answers:
        yield from ((order_id, sha256, Kind.PHOTO, state, at) for sha256 in sha256_in(text) if '"photos"' in text)
    for order_id, state, at, event, text in _rows(connection, [*order, t.events.c.kind, t.events.c.data], _OVER, t.events.c.order_id):
        if event != REMOVED:
            kind = Kind.PHOTO if event == "picture_taken" else None
            yield from ((order_id, sha256, kind, state, at) for sha256 in sha256_in(text))


def of_dossier(dossier: Mapping[str, Any]) -> Iterator[tuple[str, Kind | None]]:
    """Every sha256 of a dossier as it is stored, with what it is; a file may be several things to an order."""
    for plate in dossier.get("plates", ()):
        yield plate["gcode_sha256"], Kind.GCODE
    for report in dossier.get("meshes", {}).values():
        yield report.get("canonical_sha256", ""), Kind.MESH
        yield (report.get("turned") or {}).get("mesh_sha256", ""), Kind.MESH
        yield from ((sha256, Kind.PICTURE) for sha256 in report.get("pictures", {}).values())
    for file in dossier["offer"].get("files", ()):
        yield file["sha256"], Kind.MODEL
    yield from ((sha256, Kind.MODEL) for sha256 in dossier.get("files", {}).values())
    yield from ((sha256, Kind.PHOTO) for sha256 in dossier.get("photos", {}).values())
    yield dossier.get("label_sha256", ""), Kind.LABEL
    yield from ((sha256, None) for sha256 in _all_in(dossier))


def _all_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from sha256_in(value)
    elif isinstance(value, Mapping):
        for part in (*value, *value.values()):
            yield from _all_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from _all_in(part)


def _rows(connection: Connection, columns: Sequence[Column[Any]], where: Any, order_id: Column[str] | None = None) -> Iterator[Any]:
    """JSON comes as the text it is kept as."""
    query = select(*(cast(column, Text) if column.type.__visit_name__ == "JSON" else column for column in columns)).where(where)
    if order_id is not None:
        query = query.select_from(order_id.table).join(t.orders, t.orders.c.id == order_id)
    return iter(connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)))
