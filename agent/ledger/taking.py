"""One backup of everything: the ledger, the files that orders refer to, what else lies in data_dir, and the configuration."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.values import Value
from agent.ledger.archive import FORMAT, VERSION, LedgerFacts, LeftOut, Manifest, Writer, read_manifest
from agent.ledger.backup import copied, facts_of
from agent.ledger.files import FULL, DiskStore, sha256_in
from agent.wire.durable import private_file, sync_folder

LEDGER, FILES, STATE, CONFIG = "ledger.sqlite3", "files/", "state/", "config/"
"""Names in the archive, and what they begin with."""
_NOT_OF_ORDERS = ("slices", "notices", "calls", "buttons", "sessions", "pairings", "api_tokens")
_MADE_ANEW = re.compile(r"ledger.*|\..*|lock|files|slicing|virtual|before-upgrade|replaced-.*|restored\.json")
"""At the top of data_dir: what is in the archive in another way, works only while a process lives, or belongs to what stands outside (a
virtual printer's memory: a copy of it would swear that nothing was printed since)."""
_NAME = re.compile(r"[A-Za-z0-9._-]+-[0-9]{8}-[0-9]{6}\.backup\.tar")


class Sources(Value):
    """What a backup is made of. `config`: where a file goes under `config/` -> where it lies; `secrets` are among them where they were
    asked for. `beside`: folders in data_dir that are no part of it."""

    agent: str
    version: str
    ledger: Path
    data_dir: Path
    config: dict[str, Path]
    beside: list[Path] = []
    with_files: bool = True
    with_secrets: bool = False


class Taken(Value):
    """`left_out`: files that were gone, damaged or unreadable; the backup is good, without them."""

    path: Path
    bytes: int
    files: int
    orders: int
    events: int
    head: str
    broken: list[str]
    left_out: list[LeftOut]
    with_files: bool
    with_secrets: bool


def name_for(agent: str, now: datetime) -> str:
    """Sorted by name, one agent's are sorted by time."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', agent)}-{now.astimezone(UTC):%Y%m%d-%H%M%S}.backup.tar"


def earlier(folder: Path, agent: str) -> Sequence[Path]:
    """This agent's backups in that folder, the oldest first; other files there are nobody's business."""
    names = [path for path in folder.glob("*.backup.tar") if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    stamp = len("-20261127-212348.backup.tar")
    return sorted(path for path in names if path.name[:-stamp] == name_for(agent, datetime.now(UTC))[:-stamp])


def take(sources: Sources, into: Path) -> Taken:
    """Write the backup to `into`, mode 0600, there only once it was read back as a whole. Blocking, in flat memory.

    Refused (no_ledger, ledger_damaged, cannot_write); NeedsOperator (disk_full). Nothing is left then.
    """
    temporary = into.with_name(f".{into.name}.{os.getpid()}")
    ledger = into.with_name(f".{into.name}.{os.getpid()}.ledger")
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        copied(sources.ledger, ledger)
        with private_file(temporary) as out:
            manifest = _written(sources, ledger, Writer(out))
            out.flush()
            os.fsync(out.fileno())
            out.seek(0)
            read_manifest(out)
        temporary.replace(into)
        sync_folder(into.parent)
    except OSError as error:
        if error.errno in FULL:
            raise NeedsOperator(f"There is no room for {into}.", hint="Free some space, or give another one.", code="disk_full") from error
        raise Refused(f"{into} cannot be written: {error.strerror}.", hint="Give another place with -o.", code="cannot_write") from error
    finally:
        for left in (temporary, ledger):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
    return _told(manifest, into)


def _written(sources: Sources, ledger: Path, archive: Writer) -> Manifest:
    facts = facts_of(ledger)
    archive.add(LEDGER, ledger)
    for name, path in sorted(sources.config.items()):
        archive.add(CONFIG + name, path)
    for path in _state(sources):
        archive.add(STATE + os.fsencode(path.relative_to(sources.data_dir)).decode(errors="replace"), path)
    if sources.with_files:
        store = DiskStore(sources.data_dir / "files")
        for sha256 in mentioned(ledger, {stored.sha256 for stored in store.stored()}):
            archive.add(FILES + sha256, store.path(sha256), sha256)
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        made_with=sources.version,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        agent=sources.agent,
        with_files=sources.with_files,
        with_secrets=sources.with_secrets,
        ledger=LedgerFacts(schema_version=facts.schema, orders=facts.orders, events=facts.events, head=facts.head, broken=facts.broken),
        members=archive.members,
        left_out=archive.left_out,
    )
    archive.end(manifest)
    return manifest


def _state(sources: Sources) -> Iterator[Path]:
    """Plain files only: what a link leads to is not ours."""
    for folder, folders, names in os.walk(sources.data_dir):
        here = Path(folder)
        top = here == sources.data_dir
        folders[:] = sorted(name for name in folders if here / name not in sources.beside and not (top and _MADE_ANEW.fullmatch(name)))
        for name in sorted(names):
            path = here / name
            if path.is_file() and not path.is_symlink() and not (top and _MADE_ANEW.fullmatch(name)):
                yield path


def mentioned(ledger: Path, among: Set[str]) -> Sequence[str]:
    """Which of these sha256 stand anywhere in this SQLite ledger, except in tables of what may be forgotten. That a file is named by
    something we did not think of loses nothing."""
    found: set[str] = set()
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        tables = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            if table not in _NOT_OF_ORDERS and not table.startswith("sqlite_"):
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    found.update(sha256 for value in row if isinstance(value, str) for sha256 in sha256_in(value) if sha256 in among)
    return sorted(found)


def _told(manifest: Manifest, path: Path) -> Taken:
    known: Mapping[str, object] = manifest.ledger.model_dump(exclude={"schema_version"})
    return Taken.model_validate(
        {
            **known,
            "path": path,
            "bytes": path.stat().st_size,
            "files": sum(member.name.startswith(FILES) for member in manifest.members),
            "left_out": manifest.left_out,
            "with_files": manifest.with_files,
            "with_secrets": manifest.with_secrets,
        }
    )
