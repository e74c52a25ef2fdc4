"""One look into a hot folder: whose each file is, and what is ready to be taken.

An order file has every model it names and those of its own name. It is taken when all it names are there and still; it is rejected
where it cannot be used, together with its models, because a model is never printed with the defaults when an order file was meant for
it. So a model that comes within an hour after such an order file is put beside it. A model alone is taken when no order file has it
and none lies there that cannot be read yet, for that one might name it.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from agent.domain.offer import ModelFile, Offer, OfferState
from agent.marketplaces.hot_folder.order_files import (
    LARGEST_BYTES,
    BadOrder,
    Defaults,
    Wanted,
    order_for,
    read_order,
    same_name,
    speaks_of,
    stem,
    text_of,
)
from agent.marketplaces.hot_folder.stillness import MODELS, Mark, Stillness, is_model, is_order, listing, mark_of
from agent.marketplaces.hot_folder.taking import WHY, Journal, Part, Taking, new_id, read_journal, write_durably

log = structlog.get_logger()

REMEMBER_REJECTED_S = 3600.0
WAITING = "WAITING.txt"
"""In the folder itself, for those who do not see the log: what lies there and is not taken, and why."""
LARGEST_MODEL_BYTES = 2_000_000_000
_CHUNK = 1 << 20
_LONGEST_NAME = 200


@dataclass(frozen=True)
class _Order:
    """An order file that was read. `wanted` None: it cannot be used, for these `mistakes`; `text` is what it says."""

    name: str
    sha256: str
    wanted: Wanted | None = None
    models: dict[str, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    text: str = ""


@dataclass(frozen=True)
class _Rejected:
    """An order file that was rejected, and what it says. `until`: of the monotonic clock."""

    order_file: Path
    text: str
    until: float


@dataclass
class _Look:
    """What is known during one look. `owned`: files (as `same_name`) that have an order file. `unread`: order files, each may own any."""

    files: dict[str, Mark]
    owned: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

    def models(self) -> list[str]:
        return sorted(name for name in self.files if is_model(name) and same_name(name) not in self.owned)

    def find(self, wanted: str) -> str | None:
        """The file a person means by this name: the one of exactly that name, or the only one that differs in case or accents' form."""
        if wanted in self.files:
            return wanted
        alike = [name for name in self.files if same_name(name) == same_name(wanted)]
        return alike[0] if len(alike) == 1 else None


class Inbox:
    """The folder `root` as people drop files into it. Blocking, and called by one thread at a time."""

    def __init__(
        self, root: Path, taking: Taking, defaults: Defaults, *, still_s: float, accept_within_s: float, taken: Callable[[Offer], None]
    ) -> None:
        self._root = root
        self._taking = taking
        self._defaults = defaults
        self._accept_within_s = accept_within_s
        self._taken = taken
        self._stillness = Stillness(still_s)
        self._rejected: list[_Rejected] = []
        self._told: dict[str, str] = {}
        self._telling: set[str] = set()
        self._written: dict[str, str] | None = None

    def load(self) -> None:
        """Remember what was rejected shortly before the agent was started."""
        now = time.time()
        for why in self._taking.rejected.glob(f"*/{WHY}"):
            left_s = REMEMBER_REJECTED_S - max(0.0, now - why.stat().st_mtime)
            if left_s > 0:
                self._remember(why.parent, left_s)

    def _remember(self, folder: Path, for_s: float) -> None:
        journal = read_journal(folder)
        content = _content(folder / journal.order_file) if journal else None
        if journal is not None and content is not None:
            self._rejected.append(_Rejected(folder / journal.order_file, text_of(content), time.monotonic() + for_s))

    def next_s(self) -> float | None:
        """In how many seconds it is worth looking again, where no event comes before."""
        return self._stillness.next_s()

    def look(self) -> None:
        """Take what is ready; `taken` is told of each new order."""
        self._taking.open()
        parts, found = self._taking.parts(), listing(self._root, (self._taking.taken.name, self._taking.rejected.name))
        look = _Look(found.files)
        self._stillness.look(self._paths(look, parts))
        self._telling = set()
        for name, why in found.odd.items():
            self._ignored(name, why, look)
        for name, why in found.foreign.items():
            self._waits(name, why)
        self._continue(parts, look)
        orders = list(self._orders(look))
        begun = [*self._take_orders(orders, look), *self._reject_orders(orders, look), *self._take_alone(look)]
        for part in [*parts, *begun]:
            self._finish(part, look)
        self._told = {name: why for name, why in self._told.items() if name in self._telling}
        self._write_waiting()

    def _paths(self, look: _Look, parts: Iterable[Part]) -> dict[Path, Mark]:
        inside = [part.folder / name for part in parts for name in part.journal.names]
        marks = {path: mark for path in inside if (mark := mark_of(path)) is not None}
        return marks | {self._root / name: mark for name, mark in look.files.items()}

    # --- what was begun before --------------------------------------------------------------------------------------

    def _continue(self, parts: Iterable[Part], look: _Look) -> None:
        """Files that an order which was begun still waits for are its own."""
        for part in parts:
            for name in part.missing():
                if name in look.files and (self._ready(name, look) or (part.journal.why and self._is_still(name))):
                    self._move(part, name, look)
            look.owned |= {same_name(name) for name in part.journal.names}

    # --- order files ------------------------------------------------------------------------------------------------

    def _orders(self, look: _Look) -> Iterator[_Order]:
        for name in sorted(filter(is_order, look.files)):
            content = _content(self._root / name) if self._ready(name, look) else None
            if content is None:
                look.unread.add(name)
            else:
                yield self._read(name, content, look)

    def _read(self, name: str, content: bytes, look: _Look) -> _Order:
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            wanted = read_order(content, self._defaults)
        except BadOrder as bad:
            return _Order(name, sha256, mistakes=bad.mistakes, text=bad.text)
        models = {file: found for file in wanted.files if (found := look.find(file)) is not None}
        unnamed = [model for model in look.models() if stem(model) == stem(name) and model not in models.values()]
        if unnamed:
            mistake = f"It does not name {unnamed[0]}, which has its name. Name it under [[items]], or give it another name."
            return _Order(name, sha256, mistakes=[mistake], text=text_of(content))
        return _Order(name, sha256, wanted, models)

    def _take_orders(self, orders: Iterable[_Order], look: _Look) -> Iterator[Part]:
        for order in orders:
            if order.wanted is None:
                continue
            models = [order.models[file] for file in order.wanted.files if order.models.get(file) in look.files]
            if len(models) == len(order.wanted.files) and all(self._ready(model, look) for model in models):
                yield self._begin(_journal(order, models), look)
            elif len(models) < len(order.wanted.files):
                missing = [file for file in order.wanted.files if order.models.get(file) not in models]
                self._waits(order.name, f"it names {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not there")
            look.owned |= {same_name(file) for file in order.wanted.files}

    def _reject_orders(self, orders: Iterable[_Order], look: _Look) -> Iterator[Part]:
        """When its models are not being written any more, so that all of them go with it."""
        for order in orders:
            if order.wanted is not None:
                continue
            models = [model for model in look.models() if speaks_of(order.name, order.text, model)]
            look.owned |= {same_name(model) for model in models}
            if all(self._is_still(model) for model in models):
                yield self._begin(_journal(order, models), look)

    # --- a model alone ----------------------------------------------------------------------------------------------

    def _take_alone(self, look: _Look) -> Iterator[Part]:
        ready = [name for name in look.models() if self._ready(name, look)]
        if look.unread:
            for name in ready if look.unread & self._telling else ():
                self._waits(name, f"{', '.join(sorted(look.unread))} cannot be read, and may be its order")
            return
        for name in ready:
            order_file = self._late_for(name)
            if order_file is None:
                yield self._begin(Journal(id=new_id(), models=[name], wanted=order_for(name, self._defaults)), look)
            elif self._taking.move(name, order_file.parent):
                why = f"it belongs to {order_file.name}, which was rejected before"
                log.warning("hot_folder_rejected", file=_shown(name), folder=str(order_file.parent), why=_shown(why))

    def _late_for(self, model: str) -> Path | None:
        """An order file that was rejected before this model was there. One that a person took out again is forgotten: that person knows."""
        self._rejected = [one for one in self._rejected if one.until > time.monotonic() and one.order_file.is_file()]
        for one in self._rejected:
            if not (one.order_file.parent / model).exists() and speaks_of(one.order_file.name, one.text, model):
                return one.order_file
        return None

    # --- taking -----------------------------------------------------------------------------------------------------

    def _begin(self, journal: Journal, look: _Look) -> Part:
        part = self._taking.begin(journal)
        for name in journal.names:
            if not self._move(part, name, look):
                break
        return part

    def _move(self, part: Part, name: str, look: _Look) -> bool:
        look.files.pop(name, None)
        moved = self._taking.move(name, part.folder)
        if moved:
            self._stillness.moved(self._root / name, part.folder / name)
        return moved

    def _finish(self, part: Part, look: _Look) -> None:
        """Make an order of it, or reject it, when all that belongs to it is in its folder and nobody writes into it."""
        missing = part.missing()
        if missing == part.journal.names:
            return  # its first file was gone when it was to be moved; the next look drops the folder
        if part.journal.why:
            if not any(name in look.files for name in missing):
                self._reject(part)
        elif missing:
            self._waits(part.folder.name, f"{', '.join(missing)} was moved away while it was taken; put it back into the hot folder")
        elif self._all_still(part):
            self._complete(part)

    def _all_still(self, part: Part) -> bool:
        return all(self._stillness.is_still(part.folder / name) for name in part.journal.names)

    def _complete(self, part: Part) -> None:
        journal = part.journal
        if journal.order_file and _sha256(part.folder / journal.order_file) != journal.order_sha256:
            why = f"{journal.order_file} was changed while it was taken.\n\n{_AGAIN}"
            changed = Part(part.folder, journal.model_copy(update={"wanted": None, "why": why}))
            self._taking.write(changed)
            self._reject(changed)
            return
        files = [_model_file(n, part.folder / name) for n, name in enumerate(journal.models, start=1)]
        if self._all_still(part):  # else somebody wrote into it meanwhile, and what was read is of no use
            offer = self._offer(journal, files)
            self._taking.finish(part, offer)
            self._taken(offer)
            log.info("hot_folder_taken", offer=offer.offer_id, files=[file.name for file in files], order_file=_shown(journal.order_file))

    def _offer(self, journal: Journal, files: list[ModelFile]) -> Offer:
        assert journal.wanted is not None, "only what is rejected has none"
        now = datetime.now(UTC)
        return Offer(
            offer_id=journal.id,
            state=OfferState.OPEN,
            created_at=now,
            accept_by=now + timedelta(seconds=self._accept_within_s),
            accept_within_s=self._accept_within_s,
            payout=journal.wanted.payout,
            ship_by=journal.wanted.ship_by,
            items=journal.wanted.items,
            files=files,
            files_before_accept=True,
            add_ons=journal.wanted.add_ons,
            special_instructions=journal.wanted.special_instructions,
        )

    def _reject(self, part: Part) -> None:
        folder = self._taking.reject(part)
        self._remember(folder, REMEMBER_REJECTED_S)
        log.warning("hot_folder_rejected", file=_shown(part.journal.order_file), folder=str(folder), why=part.journal.why)

    # --- files ------------------------------------------------------------------------------------------------------

    def _is_still(self, name: str) -> bool:
        return self._stillness.is_still(self._root / name)

    def _ready(self, name: str, look: _Look) -> bool:
        """Still, and something to read. Why not is told where waiting will not mend it."""
        if not self._is_still(name):
            return False
        if look.files[name][0] == 0:
            self._waits(name, "it is empty")
            return False
        if look.files[name][0] > LARGEST_MODEL_BYTES:
            self._waits(name, f"it is larger than {LARGEST_MODEL_BYTES / 1e9:.0f} GB, which no model is")
            return False
        if not os.access(self._root / name, os.R_OK):
            self._waits(name, "the agent may not read it: chmod a+r")
            return False
        return True

    def _ignored(self, name: str, why: str, look: _Look) -> None:
        if is_order(name):
            look.unread.add(name)
        self._waits(name, why)

    def _waits(self, name: str, why: str) -> None:
        """Told once, as long as it stays so."""
        self._telling.add(name)
        if self._told.get(name) != why:
            self._told[name] = why
            log.info("hot_folder_waits", file=_shown(name), why=_shown(why))

    def _write_waiting(self) -> None:
        if self._told == self._written:
            return
        path = self._root / WAITING
        if self._told:
            rows = "".join(f"{_shown(name)}: {_shown(why)}.\n" for name, why in sorted(self._told.items()))
            write_durably(path, f"This lies here and is not printed yet:\n\n{rows}".encode())
        else:
            path.unlink(missing_ok=True)
        self._written = dict(self._told)


_AGAIN = "What to do: mend the order file and drop it into the hot folder again, together with its models. They lie beside this text."


def _journal(order: _Order, models: list[str]) -> Journal:
    why = "" if order.wanted else _why(order, models)
    return Journal(id=new_id(), order_file=order.name, order_sha256=order.sha256, models=models, wanted=order.wanted, why=why)


def _why(order: _Order, models: Iterable[str]) -> str:
    mistakes = "".join(f"  - {mistake}\n" for mistake in order.mistakes)
    beside = "".join(f"  {model}\n" for model in models)
    files = f"\n\nThese models were meant for it and are not printed:\n{beside}" if beside else ""
    return f"The order file {order.name} was not taken:\n{mistakes}\n{_AGAIN}{files}"


def _shown(name: str) -> str:
    """For people's eyes, also where it is not UTF-8."""
    readable = name.encode(errors="replace").decode()
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in readable)


def _model_file(number: int, path: Path) -> ModelFile:
    """As it is announced; its content is on the disk when this returns."""
    name, ending = _shown(path.name), path.suffix.lower()
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 5]}…{ending}"
    return ModelFile(file_id=f"f{number}", name=name, bytes=path.stat().st_size, sha256=_sha256(path), media_type=MODELS[ending])


def _content(order_file: Path) -> bytes | None:
    """A byte more than an order file may have, where it has it. None where it is gone meanwhile."""
    try:
        with order_file.open("rb") as file:
            return file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        os.fsync(file.fileno())
    return digest.hexdigest()
