"""Where the ledger lies that nobody configured."""

from pathlib import Path


def sqlite_file(data_dir: Path) -> Path:
    return data_dir / "ledger.sqlite3"


def sqlite_url(data_dir: Path) -> str:
    return f"sqlite:///{sqlite_file(data_dir)}"
