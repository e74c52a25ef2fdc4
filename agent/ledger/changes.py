"""Whether anything was written since the last look, at a tenth of what a question through SQLAlchemy costs.

SQLite counts it for us: `PRAGMA data_version` of a connection is another number after every commit of any other connection, of whichever
process (https://www.sqlite.org/pragma.html#pragma_data_version). This one never writes, so it sees all of them.
"""

from threading import Lock

from sqlalchemy import Engine


class Changes:
    """Looks at one database until it is closed. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._connection = engine.raw_connection() if engine.dialect.name == "sqlite" else None
        self._cursor = self._connection.cursor() if self._connection is not None else None

    def close(self) -> None:
        """Not back into the pool: whoever got it would write unseen."""
        if self._connection is not None:
            self._connection.invalidate()
        self._connection = self._cursor = None

    def now(self) -> object:
        """Equal to what it was before where nothing was written since. Another one each time where the database cannot tell."""
        if self._cursor is None:
            return object()
        try:
            with self._lock:
                self._cursor.execute("PRAGMA data_version")
                return self._cursor.fetchone()
        except self._engine.dialect.dbapi.Error:  # type: ignore[union-attr]
            return object()  # the ledger's own questions find out what is wrong, and tell it
