"""A ledger with its schema and nothing in it. Making it is most of what a small test would take, so it is made once."""

import tempfile
from functools import cache
from pathlib import Path

from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger


@cache
def _content() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with SqlLedger(sqlite_url(Path(folder))):
            pass
        return sqlite_file(Path(folder)).read_bytes()


def lay_empty_ledger(folder: Path) -> None:
    """Where an agent with this data_dir finds its own."""
    sqlite_file(folder).write_bytes(_content())
