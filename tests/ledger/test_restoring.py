"""A backup comes back whole or not at all, and what it cannot know is asked of a person."""

import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import ConfigError, Refused
from agent.domain.order import State
from agent.domain.printer import BedState
from agent.domain.question import Step
from agent.ledger.archive import MANIFEST, SEAL, read_manifest
from agent.ledger.backup import facts_of
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.restoring import MARK, checked, put_in_place, require_old_agent_off, say_old_agent_off, unpacked
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from agent.workflow.restored import distrust
from tests.ledger.backups import Folder
from tests.ledger.offers import add_offer
from tests.workflow.workshop import make_offer


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "old")
    with made.ledger:
        made.order("waits", b"model one")
        made.printing(made.order("prints", b"model two"), "mk3s", b"G28\n")
        yield made


def restore(archive: Path, into: Path, *, replace: bool = False) -> Path | None:
    with unpacked(archive, into, replace=replace) as (staging, manifest):
        with SqlLedger(sqlite_url(staging)) as ledger:
            distrust(ledger, datetime.fromisoformat(manifest.made_at))
        return put_in_place(staging, into, manifest)


def all_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_everything_comes_back_and_secrets_only_where_they_were_asked_for(folder: Folder, tmp_path: Path) -> None:
    archive = tmp_path / "b.tar"
    taken = folder.backup(archive)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert (taken.orders, taken.files, taken.left_out, taken.broken) == (2, 3, [], [])
    assert b"s3cret" not in archive.read_bytes()
    new = tmp_path / "new"
    assert restore(archive, new) is None
    files = all_in(new)
    assert files["config-from-backup/config.toml"] == b'[agent]\nname = "garage"\n'
    assert files["config-from-backup/printers/mk3s.toml"] == b'name = "mk3s"\n'
    assert files["mailbox/intagly/order.json"] == b"{}"
    stored = {name: content for name, content in files.items() if name.startswith("files/")}
    assert {content for content in stored.values()} == {b"model one", b"model two", b"G28\n"}
    assert all(hashlib.sha256(content).hexdigest() == Path(name).name for name, content in stored.items())
    assert not any(name.startswith(("slicing", ".")) or name == "lock" for name in files)
    folder.backup(archive, with_secrets=True, with_files=False)
    assert b"s3cret" in archive.read_bytes()
    assert checked(archive).with_secrets
    restore(archive, tmp_path / "third")
    assert not (tmp_path / "third" / "files").exists()
    with tarfile.open(archive) as ordinary:  # for anybody without this program
        assert ordinary.getnames()[0] == "ledger.sqlite3"


def test_a_damaged_or_vanishing_file_costs_no_backup_and_is_told(folder: Folder, tmp_path: Path) -> None:
    good, bad = folder.store.put(b"model one"), folder.store.put(b"model two")
    folder.store.path(bad).write_bytes(b"model twO")
    taken = folder.backup(tmp_path / "b.tar")
    assert [(left.name, left.why) for left in taken.left_out] == [(f"files/{bad}", "it is not what its name says: it was damaged")]
    restore(tmp_path / "b.tar", tmp_path / "new")
    assert (tmp_path / "new" / "files" / good[:2] / good).read_bytes() == b"model one"
    assert not (tmp_path / "new" / "files" / bad[:2] / bad).exists()


def test_what_may_have_been_printed_since_asks_a_person_and_no_bed_is_free(folder: Folder, tmp_path: Path) -> None:
    closed = folder.ledger.move(folder.order("done", b"model"), OrderMove(to=State.PHOTOS, event="printed"))
    offer = add_offer(folder.ledger, "market", make_offer("offer"), datetime.now(UTC))
    assert offer is not None
    folder.backup(tmp_path / "b.tar")
    restore(tmp_path / "b.tar", tmp_path / "new")
    with SqlLedger(sqlite_url(tmp_path / "new")) as ledger:
        states = {order.dossier.offer.offer_id: (order.state, order.resume_state) for order in ledger.orders()}
        assert states == {
            "waits": (State.ON_HOLD, State.ACCEPTED),
            "prints": (State.ON_HOLD, State.PRINTING),
            "done": (State.PHOTOS, None),
            "offer": (State.LOST, None),
        }
        assert [question.step for question in ledger.open_questions()] == [Step.HOLD, Step.HOLD]
        assert {bed.state for bed in ledger.beds().values()} == {BedState.UNKNOWN}
        assert [event.kind for event in ledger.events(closed.id)][-1] == "restored"


def test_nothing_living_is_overwritten_and_what_was_there_is_moved_aside(folder: Folder, tmp_path: Path) -> None:
    folder.backup(tmp_path / "b.tar")
    folder.order("later", b"model three")
    folder.ledger.__exit__()
    before = all_in(folder.data_dir)
    with pytest.raises(Refused) as refused:
        restore(tmp_path / "b.tar", folder.data_dir)
    assert refused.value.code == "not_empty"
    assert all_in(folder.data_dir) == before
    aside = restore(tmp_path / "b.tar", folder.data_dir, replace=True)
    assert aside is not None
    assert {name: content for name, content in before.items() if name != "lock"} == all_in(aside)
    assert facts_of(sqlite_file(aside)).orders == 3
    assert facts_of(sqlite_file(folder.data_dir)).orders == 2


def test_no_agent_starts_before_somebody_said_that_the_old_one_is_off(folder: Folder, tmp_path: Path) -> None:
    new = tmp_path / "new"
    folder.backup(tmp_path / "b.tar")
    require_old_agent_off(new)
    restore(tmp_path / "b.tar", new)
    with pytest.raises(ConfigError, match="garage") as error:
        require_old_agent_off(new)
    assert "--old-agent-is-off" in error.value.hint
    (new / MARK).write_text("not what we wrote")
    with pytest.raises(ConfigError):
        require_old_agent_off(new)
    assert say_old_agent_off(new)
    require_old_agent_off(new)
    assert not say_old_agent_off(new)


def test_killed_anywhere_while_it_is_put_in_place_no_agent_starts_on_half_of_it(folder: Folder, tmp_path: Path) -> None:
    folder.backup(tmp_path / "b.tar")
    for dies_at in range(1, 12):
        new = tmp_path / f"new-{dies_at}"
        new.mkdir()
        (new / "ledger.sqlite3").write_bytes(b"the one that was there")
        child = os.fork()
        if child == 0:
            _die_at_rename(dies_at)
            restore(tmp_path / "b.tar", new, replace=True)
            os._exit(7)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7:
            assert dies_at > 5
            return
        there = sqlite_file(new).read_bytes() if sqlite_file(new).exists() else b""
        if there != b"the one that was there":
            with pytest.raises(ConfigError):
                require_old_agent_off(new)
        restore(tmp_path / "b.tar", new, replace=True)
        assert facts_of(sqlite_file(new)).orders == 2
    raise AssertionError("it never came to its end")


def _die_at_rename(dies_at: int) -> None:
    """In a child: as killed before the n-th file that is moved into its place."""
    count, real = 0, os.rename

    def rename(*arguments: object) -> None:
        nonlocal count
        if ".restoring" in str(arguments[0]) or "replaced-" in str(arguments[1]):
            count += 1
            if count == dies_at:
                os._exit(9)
        real(*arguments)  # type: ignore[call-overload]

    os.rename = os.replace = rename  # type: ignore[assignment]


# --- hostile archives -------------------------------------------------------------------------------------------------
def refused_with_nothing_written(archive: Path, tmp_path: Path) -> str:
    into = tmp_path / "hostile"
    before = set(tmp_path.rglob("*"))
    with pytest.raises(Refused) as refused:
        restore(archive, into)
    assert refused.value.code in ("backup_damaged", "no_backup", "ledger_damaged")
    assert set(tmp_path.rglob("*")) == before
    return str(refused.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    home = tmp_path_factory.mktemp("whole")
    made = Folder(home / "old")
    with made.ledger:
        made.order("waits", b"model one")
        made.backup(home / "b.tar")
    return (home / "b.tar").read_bytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found(whole: bytes, data: st.DataObject) -> None:
    ends = [0, 124, 156, 257, len(whole) - 1024, len(whole) - 1]
    at = data.draw(st.one_of(st.integers(0, len(whole) - 1), st.sampled_from(ends), st.integers(whole.index(b'"agent"'), len(whole) - 1)))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Refused) as refused:
        read_manifest(io.BytesIO(bytes(changed)))
    assert refused.value.code == "backup_damaged"


@settings(max_examples=30, deadline=None)
@given(st.one_of(st.binary(max_size=3000), st.integers(0, 10**6)))
def test_garbage_and_parts_of_one_are_refused(whole: bytes, what: bytes | int) -> None:
    content = what if isinstance(what, bytes) else whole[: what % len(whole)]
    with pytest.raises(Refused):
        read_manifest(io.BytesIO(content))
    with pytest.raises(Refused):
        read_manifest(io.BytesIO(whole + content if content else whole + b"\0"))


def sealed(members: Callable[[tarfile.TarFile, Callable[[str, bytes], None]], None], whole: bytes, listed: dict[str, bytes]) -> bytes:
    """An archive that somebody wrote anew as a whole, hashes and all; `members` adds to it what no agent would."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(whole)) as ours:
        entries = {info.name: _content(ours, info) for info in ours}
    manifest = json.loads(entries.pop(MANIFEST))
    entries.pop(SEAL)
    entries |= listed
    manifest["members"] = [
        {"bytes": len(content), "name": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in entries.items()
    ]
    text = json.dumps(manifest, sort_keys=True, indent=1).encode() + b"\n"
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:

        def add(name: str, content: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, io.BytesIO(content))

        for name, content in entries.items():
            add(name, content)
        members(tar, add)
        add(MANIFEST, text)
        add(SEAL, hashlib.sha256(text).hexdigest().encode())
    return out.getvalue()[: out.getvalue().index(hashlib.sha256(text).hexdigest().encode()) + 512] + bytes(1024)


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    assert file is not None
    return file.read()


def test_one_that_was_sealed_anew_by_our_rules_is_read(whole: bytes, tmp_path: Path) -> None:
    """So that the refusals below are not of everything."""
    (tmp_path / "b.tar").write_bytes(sealed(lambda _tar, _add: None, whole, {"state/mailbox/other.json": b"{}"}))
    restore(tmp_path / "b.tar", tmp_path / "new")
    assert (tmp_path / "new" / "mailbox" / "other.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "state/../../evil", "/etc/evil", "state//evil", "state/./evil", "elsewhere/evil", "evil"),
        *("state/ledger.sqlite3", "state/ledger.sqlite3-wal", "state/restored.json", "state/files/aa/evil", "state/lock"),
        *("files/" + "a" * 64, "files/evil", "state/.restoring/evil", "state/new\nline", "config/../evil", "state/config-from-backup/x"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(sealed(lambda _tar, _add: None, whole, {name: b"evil"}))
    refused_with_nothing_written(tmp_path / "b.tar", tmp_path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_links_devices_and_folders_are_refused(kind: bytes, whole: bytes, tmp_path: Path) -> None:
    def link(tar: tarfile.TarFile, _add: Callable[[str, bytes], None]) -> None:
        info = tarfile.TarInfo("state/link")
        info.type, info.linkname, info.mode = kind, "/etc/passwd", 0o600
        tar.addfile(info)

    (tmp_path / "b.tar").write_bytes(sealed(link, whole, {}))
    refused_with_nothing_written(tmp_path / "b.tar", tmp_path)


def test_bombs_and_other_files_are_refused(whole: bytes, tmp_path: Path) -> None:
    claims = tarfile.TarInfo("ledger.sqlite3")
    claims.size, claims.mode = 8 * 2**30 - 1, 0o600
    archive = tmp_path / "b.tar"
    archive.write_bytes(claims.tobuf(tarfile.USTAR_FORMAT) + b"small")
    assert "ends in the middle" in refused_with_nothing_written(archive, tmp_path)
    zipped = io.BytesIO()
    with tarfile.open(fileobj=zipped, mode="w:gz") as tar:
        info = tarfile.TarInfo("zeros")
        info.size = 50_000_000
        tar.addfile(info, io.BytesIO(bytes(50_000_000)))
    archive.write_bytes(zipped.getvalue())
    refused_with_nothing_written(archive, tmp_path)
    archive.write_bytes(sealed(lambda _tar, _add: None, whole, {"ledger.sqlite3": b"no ledger"}))
    refused_with_nothing_written(archive, tmp_path)
    archive.unlink()
    refused_with_nothing_written(archive, tmp_path)


def test_another_ledger_than_its_manifest_tells_of_is_refused(folder: Folder, whole: bytes, tmp_path: Path) -> None:
    other = sqlite_file(folder.data_dir)
    folder.ledger.__exit__()
    (tmp_path / "b.tar").write_bytes(sealed(lambda _tar, _add: None, whole, {"ledger.sqlite3": other.read_bytes()}))
    assert "not the one that its manifest tells of" in refused_with_nothing_written(tmp_path / "b.tar", tmp_path)


def test_a_ledger_of_a_newer_version_is_not_put_in_place(folder: Folder, tmp_path: Path) -> None:
    folder.ledger.__exit__()
    with sqlite3.connect(sqlite_file(folder.data_dir)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    folder.backup(tmp_path / "b.tar")
    with pytest.raises(ConfigError, match="newer version"):
        restore(tmp_path / "b.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()
