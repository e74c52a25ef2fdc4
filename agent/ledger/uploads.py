"""Photos on their way, and those that wait to be handed in."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, and_, false, func, insert, select, update

from agent.domain.errors import Refused
from agent.domain.upload import MOST_EVER, MOST_PHOTOS, MOST_UNFINISHED_OF_ALL, MOST_UNFINISHED_OF_ONE, NewUpload, Upload
from agent.ledger import tables as t
from agent.ledger.database import told_apart
from agent.ports.ledger import Stale

_rows = t.photo_uploads
_here = _rows.c.put_away == false()
_unfinished = and_(_here, _rows.c.checked.is_(None))


def _upload(row: RowMapping) -> Upload:
    return Upload.model_validate(dict(row))


class UploadRows:
    """The part of the ledger that keeps photos until they are handed in. Implements ports.uploads.Uploads."""

    _engine: Engine
    _now: Callable[[], datetime]
    _reading: Callable[[], Connection]

    def begin_upload(self, upload_id: str, new: NewUpload) -> Upload:
        now = self._now()
        with told_apart(), self._engine.begin() as connection:
            same = and_(_rows.c.order_id == new.order_id, _rows.c.key == new.key)
            found = connection.execute(select(_rows).where(same)).mappings().one_or_none()
            if found is None:
                _require_room(connection, new)
                values = {**new.model_dump(), "id": upload_id, "received": 0, "began_at": now, "touched_at": now}
                connection.execute(insert(_rows).values(values))
                found = connection.execute(select(_rows).where(same)).mappings().one()
        begun = _upload(found)
        if found["put_away"] or NewUpload.model_validate(begun.model_dump()) != new:
            raise Refused("Another photo was sent under this key.", hint="Take the photo again.", code="key_taken")
        return begun

    def upload(self, upload_id: str) -> Upload | None:
        with told_apart(), self._reading() as connection:
            row = connection.execute(select(_rows).where(and_(_rows.c.id == upload_id, _here))).mappings().one_or_none()
        return None if row is None else _upload(row)

    def uploads(self, order_id: str) -> Sequence[Upload]:
        query = select(_rows).where(and_(_rows.c.order_id == order_id, _here)).order_by(_rows.c.began_at, _rows.c.id)
        with told_apart(), self._reading() as connection:
            return [_upload(row) for row in connection.execute(query).mappings()]

    def unfinished_uploads(self) -> Sequence[Upload]:
        with told_apart(), self._reading() as connection:
            return [_upload(row) for row in connection.execute(select(_rows).where(_unfinished)).mappings()]

    def note_received(self, upload: Upload, received: int) -> Upload:
        now = self._now()
        as_seen = and_(_rows.c.id == upload.id, _rows.c.received == upload.received, _unfinished)
        self._note(upload, as_seen, {"received": received, "touched_at": now})
        return upload.model_copy(update={"received": received, "touched_at": now})

    def note_checked(self, upload: Upload, found: Mapping[str, Any]) -> Upload:
        self._note(upload, and_(_rows.c.id == upload.id, _unfinished), {"checked": dict(found)})
        return upload.model_copy(update={"checked": dict(found)})

    def put_away(self, upload_ids: Collection[str]) -> None:
        with told_apart(), self._engine.begin() as connection:
            connection.execute(update(_rows).where(_rows.c.id.in_(list(upload_ids))).values(put_away=True))

    def _note(self, upload: Upload, where: Any, values: Mapping[str, Any]) -> None:
        with told_apart(), self._engine.begin() as connection:
            if connection.execute(update(_rows).where(where).values(values)).rowcount != 1:
                hint = "Ask how much of it is here, and go on from there."
                raise Stale(f"The photo {upload.id} is not as it was any more.", hint=hint, code="upload_moved_on")


def _require_room(connection: Connection, new: NewUpload) -> None:
    of_order = select(func.count()).select_from(_rows).where(_rows.c.order_id == new.order_id)
    here, ever = connection.execute(of_order.where(_here)).scalar_one(), connection.execute(of_order).scalar_one()
    if here >= MOST_PHOTOS or ever >= MOST_EVER:
        hint = "Remove one that is not needed." if ever < MOST_EVER else "Hand in what is there."
        raise Refused(f"{min(here, MOST_PHOTOS)} photos of this order are here already.", hint=hint, code="too_many_photos")
    on_the_way = select(func.coalesce(func.sum(_rows.c.length), 0)).where(_unfinished)
    own, all_ = connection.execute(on_the_way.where(_rows.c.person == new.person)).scalar_one(), connection.execute(on_the_way).scalar_one()
    if own + new.length > MOST_UNFINISHED_OF_ONE or all_ + new.length > MOST_UNFINISHED_OF_ALL:
        hint = "Wait until those that are on their way have arrived."
        raise Refused("Too many photos are on their way at once.", hint=hint, code="too_much_on_the_way")
