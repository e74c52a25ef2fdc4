"""Moving files out of a hot folder so that a kill at any instant loses none and makes no order of them twice.

    taken/<id>.part/    begun: order.json tells what is to be moved here, the order file first
    taken/<id>/         an order; order.json holds its offer, state.json what became of it
    rejected/<name>-<id>/  an order file that cannot be used, its models, and WHY.txt

The first move is the point of no return. A .part folder into which nothing was moved is dropped, and its files are looked at
again; any other one is completed. So a file is in the folder or in exactly one order, never in both.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from agent.domain.errors import NeedsOperator
from agent.domain.offer import Offer
from agent.domain.values import Value
from agent.marketplaces.hot_folder.order_files import Wanted

JOURNAL = "order.json"
WHY = "WHY.txt"
_PART = ".part"
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_LONGEST_NAME_BYTES = 100


class Journal(Value):
    """What is taken together. `wanted` None: it is rejected, `why` says in words for what. `offer`: from when it is complete."""

    id: str
    order_file: str = ""
    order_sha256: str = ""
    models: list[str]
    wanted: Wanted | None = None
    why: str = ""
    offer: Offer | None = None

    @property
    def names(self) -> list[str]:
        """In the order they are moved."""
        return [self.order_file, *self.models] if self.order_file else self.models


@dataclass(frozen=True)
class Part:
    """A folder that is being filled."""

    folder: Path
    journal: Journal

    def missing(self) -> list[str]:
        return [name for name in self.journal.names if not (self.folder / name).exists()]


class Taking:
    """The folders `taken` and `rejected` under `root`. Blocking. OSError where the disk does not do it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.taken = root / "taken"
        self.rejected = root / "rejected"

    def open(self) -> None:
        """Make the folders."""
        for folder in (self._root, self.taken, self.rejected):
            folder.mkdir(parents=True, exist_ok=True)

    def begin(self, journal: Journal) -> Part:
        """Write down what is going to be moved."""
        part = Part(self.taken / f"{journal.id}{_PART}", journal)
        part.folder.mkdir()
        self.write(part)
        sync_folder(self.taken)
        return part

    def write(self, part: Part) -> None:
        write_durably(part.folder / JOURNAL, part.journal.model_dump_json(indent=1).encode())

    def move(self, name: str, folder: Path) -> bool:
        """A file out of the hot folder. False where it is gone meanwhile."""
        try:
            (self._root / name).rename(folder / name)
        except FileNotFoundError:
            return False
        sync_folder(folder)
        sync_folder(self._root)
        return True

    def parts(self) -> list[Part]:
        """All that was begun and is not complete. What was begun without moving anything is dropped here."""
        begun = []
        for folder in sorted(self.taken.glob(f"hf-*{_PART}")):
            part = self._part(folder)
            if part is None or part.missing() == part.journal.names:
                _drop(folder)
            else:
                begun.append(part)
        return begun

    def finish(self, part: Part, offer: Offer) -> None:
        """From here on it is an order."""
        self.write(Part(part.folder, part.journal.model_copy(update={"offer": offer})))
        part.folder.rename(self.taken / part.journal.id)
        sync_folder(self.taken)

    def reject(self, part: Part) -> Path:
        """Put it where a person finds it, with the reason. Returns the folder."""
        write_durably(part.folder / WHY, part.journal.why.encode())
        target = self.rejected / f"{_folder_name(part.journal.order_file)}-{part.journal.id}"
        part.folder.rename(target)
        sync_folder(self.rejected)
        sync_folder(self.taken)
        return target

    def _part(self, folder: Path) -> Part | None:
        """None where it was killed before its journal was written, and so before anything was moved."""
        if not (folder / JOURNAL).exists():
            return None
        journal = read_journal(folder)
        if journal is None:
            raise NeedsOperator(
                f"{folder / JOURNAL} cannot be read.", hint=f"Move the models back to {self._root}, and delete {folder.name}."
            )
        return Part(folder, journal)


def _drop(folder: Path) -> None:
    """The journal first: without one it is known that nothing was moved."""
    for left in (folder / JOURNAL, _temporary(folder / JOURNAL)):
        left.unlink(missing_ok=True)
    folder.rmdir()


def new_id() -> str:
    """Random: the same model dropped again is a new order."""
    return "hf-" + "".join(secrets.choice(_LETTERS) for _ in range(10))


def _folder_name(order_file: str) -> str:
    """The order file's name without its ending, cut to what fits into a folder's name with the id behind it."""
    name = "".join(c if c.isprintable() else "_" for c in order_file.rpartition(".")[0])
    return name.encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore")


def read_journal(folder: Path) -> Journal | None:
    """None where there is none that can be read: a person was at work there."""
    try:
        return Journal.model_validate_json((folder / JOURNAL).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def write_durably(path: Path, content: bytes) -> None:
    """Whole or not at all, also when the power fails."""
    temporary = _temporary(path)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def sync_folder(folder: Path) -> None:
    """A rename is only durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
