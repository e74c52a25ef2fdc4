"""Putting a backup into place: all of it is checked before anything is put anywhere, and nothing that is there is overwritten."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from agent.domain.errors import ConfigError, NeedsOperator, Refused
from agent.ledger.archive import Manifest, contents, damaged, digest_of, read_manifest
from agent.ledger.backup import facts_of, require_sound
from agent.ledger.files import FULL
from agent.ledger.taking import CONFIG, FILES, LEDGER, STATE
from agent.wire.durable import private_file, sync_folder

MARK = "restored.json"
"""In data_dir, from before the ledger is put there until a person said that the agent it came from is off."""
CONFIG_FOLDER = "config-from-backup"
_STAGING = ".restoring"
_STAYS = (_STAGING, MARK, "lock")
_HEX = frozenset("0123456789abcdef")


def checked(archive: Path) -> Manifest:
    """Reads all of it and writes nothing. Refused (no_backup, backup_damaged)."""
    with _opened(archive) as file:
        return read_manifest(file)


@contextlib.contextmanager
def unpacked(archive: Path, data_dir: Path, *, replace: bool) -> Iterator[tuple[Path, Manifest]]:
    """A folder in `data_dir` with all that is to be put there, checked: as data_dir will be. It is gone when this is left.

    Refused (no_backup, backup_damaged, not_empty, cannot_write); NeedsOperator (disk_full). Then `data_dir` is as it was.
    """
    manifest = checked(archive)
    if not replace and (there := _there(data_dir)):
        raise Refused(
            f"{data_dir} is not empty: {', '.join(sorted(path.name for path in there)[:5])}.",
            hint="Give an empty folder with --into, or --replace: what is there is then moved aside.",
            code="not_empty",
        )
    made_here = not data_dir.exists()
    staging = data_dir / _STAGING
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        _unpack(archive, manifest, staging)
        yield staging, manifest
    except OSError as error:
        if error.errno in FULL:
            raise NeedsOperator(f"There is no room for the backup in {data_dir}.", hint="Free some space.", code="disk_full") from error
        raise Refused(f"{data_dir} cannot be written: {error.strerror}.", hint="Run it as the agent's user, or as root.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if made_here:
            with contextlib.suppress(OSError):
                data_dir.rmdir()  # where something was put there it stays


def put_in_place(staging: Path, data_dir: Path, manifest: Manifest) -> Path | None:
    """Move what was unpacked to where it belongs. What was there is moved aside, into the folder returned.

    The mark goes first and the ledger last: whoever is killed in between leaves a folder that no agent starts on.
    """
    mark = {"backup_of": manifest.made_at, "agent": manifest.agent, "restored_at": datetime.now(UTC).isoformat(timespec="seconds")}
    with private_file(staging / MARK) as file:
        file.write(json.dumps(mark).encode())
    os.sync()  # before a name says that the file is there
    (staging / MARK).replace(data_dir / MARK)
    aside = None
    if there := _there(data_dir):
        aside = data_dir / f"replaced-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        aside.mkdir(mode=0o700)
        for path in sorted(there, key=lambda each: each.name == LEDGER, reverse=True):
            path.rename(aside / path.name)
    for path in sorted(staging.iterdir(), key=lambda each: each.name == LEDGER):
        path.rename(data_dir / path.name)
    sync_folder(data_dir)
    return aside


def require_old_agent_off(data_dir: Path) -> None:
    """ConfigError where this is a restored backup, and nobody said yet that the agent it came from is off: two agents with the same orders
    would both print them."""
    mark = data_dir / MARK
    if not mark.exists():
        return
    try:
        told = json.loads(mark.read_bytes())
        of = f", of the agent {told['agent']} as it was at {told['backup_of']}"
    except (OSError, ValueError, TypeError, KeyError):
        of = ""
    raise ConfigError(
        f"{data_dir} holds a restored backup{of}. Two agents with the same orders would both print them.",
        hint="Switch the old one off for good, then say so: `intagly-agent restore --old-agent-is-off --into DIR`.",
        code="old_agent_off",
    )


def say_old_agent_off(data_dir: Path) -> bool:
    """False where nobody asked."""
    try:
        (data_dir / MARK).unlink()
    except FileNotFoundError:
        return False
    sync_folder(data_dir)
    return True


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[IO[bytes]]:
    hint = "Give the file that `intagly-agent backup` wrote."
    try:
        if not archive.is_file():
            raise Refused(f"{archive} is no file.", hint=hint, code="no_backup")
        with archive.open("rb") as file:
            yield file
    except OSError as error:
        raise Refused(f"{archive} cannot be read: {error.strerror}.", hint=hint, code="no_backup") from error


def _there(data_dir: Path) -> list[Path]:
    """What would be overwritten. What was moved aside before is not."""
    if not data_dir.is_dir():
        return []
    return [path for path in data_dir.iterdir() if path.name not in _STAYS and not path.name.startswith("replaced-")]


def _unpack(archive: Path, manifest: Manifest, staging: Path) -> None:
    """Every hash is taken again while it is written: the file may be another one by now."""
    known = {member.name: member.sha256 for member in manifest.members}
    targets = {name: _target(name, known[name]) for name in known}
    if LEDGER not in targets or len(set(targets.values())) != len(targets):
        raise damaged("it holds no ledger, or two files for one place")
    with archive.open("rb") as file:
        for name, size in contents(file):
            if name not in targets:
                continue
            path = staging / targets[name]
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            with private_file(path) as out:
                if digest_of(file, size, name, out) != known[name]:
                    raise damaged(f"{name!r} changed while it was read")
    _require_that_ledger(staging / LEDGER, manifest)


def _target(name: str, sha256: str) -> str:
    """Where a member belongs, under data_dir. A name is what we would have written; `archive` has seen to it that it is plain."""
    if name == LEDGER:
        return name
    if name.startswith(FILES) and name == FILES + sha256 and set(sha256) <= _HEX:
        return f"{FILES}{sha256[:2]}/{sha256}"
    if name.startswith(CONFIG):
        return f"{CONFIG_FOLDER}/{name.removeprefix(CONFIG)}"
    inside = name.removeprefix(STATE)
    reserved = {LEDGER, FILES.rstrip("/"), CONFIG_FOLDER, *_STAYS}
    if not name.startswith(STATE) or inside.partition("/")[0] in reserved or inside.startswith("ledger"):
        raise damaged(f"{name!r} belongs nowhere")
    return inside


def _require_that_ledger(ledger: Path, manifest: Manifest) -> None:
    require_sound(ledger)
    found, told = facts_of(ledger), manifest.ledger
    if (found.schema, found.orders, found.events, found.head, found.broken) != (
        told.schema_version, told.orders, told.events, told.head, told.broken,
    ):  # fmt: skip
        raise damaged("its ledger is not the one that its manifest tells of")
