"""How `setup` writes: everything is tried out beside the real files first, told as a difference, and put in place whole or not at all."""

import contextlib
import difflib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.commands.setup_draft import PRIVATE, Draft
from agent.config.load import load
from agent.config.mistakes import BadConfiguration
from agent.config.model import Settings
from agent.domain.errors import Refused

_STAGE = ".setup-"


@dataclass(frozen=True)
class Change:
    """A file that is to be written. `before` None: it is not there yet."""

    path: Path
    text: str
    mode: int
    before: str | None

    @property
    def kind(self) -> str:
        return "new" if self.before is None else "unchanged" if self.before == self.text else "changed"

    def difference(self, root: Path) -> str:
        """For a person. Of a secret only that it is another one."""
        name = str(self.path.relative_to(root))
        if self.mode == PRIVATE:
            return f"{name}: another secret than the one in it\n"
        return "".join(difflib.unified_diff((self.before or "").splitlines(True), self.text.splitlines(True), name, f"{name}, new"))


def changes(folder: Path, draft: Draft) -> list[Change]:
    """Refused where a file that is there cannot be read."""
    return [Change(folder / path, text, mode, _before(folder / path)) for path, text, mode in draft.files()]


def _before(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if os.path.lexists(path) else None
    except OSError as error:
        raise Refused(f"{path} is there and cannot be read: {error.strerror}.", hint="Run it as that file's owner.") from error


# --- trying out --------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def tried_out(folder: Path, draft: Draft, environ: Mapping[str, str] = os.environ) -> Iterator[Settings]:
    """The configuration as it would be, from a copy that is gone afterwards. BadConfiguration, which names the real files."""
    with _stage(folder) as stage:
        written = {path: (text, mode) for path, text, mode in draft.files()}
        _link_the_rest(folder, stage, written)
        for path, (text, mode) in written.items():
            _write(stage / path, text, mode)
        if draft.for_service:
            environ = {**environ, "CREDENTIALS_DIRECTORY": str(_handed_over(stage))}
        try:
            settings = load(stage / "config.toml", environ=environ)
        except BadConfiguration as bad:
            raise _as_of(folder, stage, bad) from None
        yield settings


@contextlib.contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """Beside the real files, so that it is their disk, and nobody else's to read."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=_STAGE, dir=folder))
    except OSError as error:
        hint = "Name another place with --config, or run it as somebody who may write there."
        raise Refused(f"{folder} cannot be written: {error.strerror}.", hint=hint, code="not_writable") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _link_the_rest(folder: Path, stage: Path, written: Mapping[Path, object]) -> None:
    """What else is there stays what it is: the new files may name it, and the old ones are in force beside them."""
    ours = {path.parts[0] for path in written}
    for entry in folder.iterdir():
        if entry.name not in ours and not entry.name.startswith(_STAGE):
            (stage / entry.name).symlink_to(entry)
    for name in ours & {"printers", "secrets"}:
        (stage / name).mkdir(mode=0o700)
        for entry in (folder / name).iterdir() if (folder / name).is_dir() else ():
            if Path(name, entry.name) not in written:
                (stage / name / entry.name).symlink_to(entry)


def _handed_over(stage: Path) -> Path:
    """As systemd's LoadCredential=secret:<folder> does it."""
    handed = stage / ".credentials"
    handed.mkdir(mode=0o700)
    for secret in (stage / "secrets").iterdir() if (stage / "secrets").is_dir() else ():
        (handed / f"secret_{secret.name}").symlink_to(secret)
    return handed


def _as_of(folder: Path, stage: Path, bad: BadConfiguration) -> BadConfiguration:
    here, there = str(stage), str(folder)
    return BadConfiguration(
        type(mistake)(
            mistake.file.replace(here, there),
            mistake.place,
            mistake.expected.replace(here, there),
            mistake.found,
            mistake.line,
            mistake.meant,
        )
        for mistake in bad.mistakes
    )


# --- writing -----------------------------------------------------------------------------------------------------
def put_in_place(folder: Path, to_write: list[Change]) -> list[Path]:
    """Those that change anything, all or none: first all are written beside, then each is renamed. An old one is kept as <name>.bak.

    Ctrl-C waits for the renames. Refused where the disk or a right is missing; then everything is as it was.
    """
    todo = [change for change in to_write if change.kind != "unchanged"]
    with _stage(folder) as stage, _as_refused(folder):
        for n, change in enumerate(todo):
            _write(stage / str(n), change.text, change.mode)
        with _signals_wait():
            _rename_all(stage, todo)
    for change in to_write:
        if change.mode == PRIVATE:
            change.path.chmod(PRIVATE)  # also one that stayed as it was
    return [change.path for change in todo]


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """What would end us does so afterwards. Not by masking: another thread of ours would take the signal then."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda n, _frame: came.append(n)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for came_number in came:
            signal.raise_signal(came_number)


def _rename_all(stage: Path, todo: list[Change]) -> None:
    done: list[int] = []
    try:
        for n, change in enumerate(todo):
            change.path.parent.mkdir(mode=0o700 if change.mode == PRIVATE else 0o755, exist_ok=True)
            if change.before is not None:
                shutil.copy2(change.path, stage / f"old-{n}")
            (stage / str(n)).replace(change.path)
            done.append(n)
    except OSError:
        for n in done:
            _put_back(stage / f"old-{n}", todo[n].path)
        raise
    for n, change in enumerate(todo):
        if change.before is not None and change.mode != PRIVATE:
            (stage / f"old-{n}").replace(change.path.with_name(f"{change.path.name}.bak"))
    for parent in {change.path.parent for change in todo}:
        _sync(parent)


def _put_back(old: Path, path: Path) -> None:
    if old.exists():
        old.replace(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_refused(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = error.filename2 or error.filename or folder
        hint = "Nothing was changed. Free some space, or run it as somebody who may write there."
        raise Refused(f"{name} cannot be written: {error.strerror}.", hint=hint, code="not_writable") from error


def _write(path: Path, text: str, mode: int) -> None:
    """On the disk before it counts; readable for others only where it is no secret, from its first instant on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """A rename is on the disk when its folder is."""
    there = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(there)
    finally:
        os.close(there)
