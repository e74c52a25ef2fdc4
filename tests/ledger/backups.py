"""An agent's folder with orders at several stages, and a backup of it."""

from datetime import UTC, datetime
from pathlib import Path

from agent.domain.job import JobState
from agent.domain.order import Order, State
from agent.domain.printer import BedState
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ledger.taking import Sources, Taken, take
from agent.ports.ledger import OrderMove
from tests.ledger.offers import add_offer
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.workflow.workshop import make_offer


class Folder:
    """As the daemon would leave it. `now` is what the ledger takes for the time."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.data_dir.mkdir(parents=True)
        lay_empty_ledger(self.data_dir)
        self.now = datetime.now(UTC)
        self.ledger = SqlLedger(sqlite_url(self.data_dir), lambda: self.now)
        self.store = DiskStore(self.data_dir / "files")
        self.store.open()
        (self.data_dir / "mailbox" / "intagly").mkdir(parents=True)
        (self.data_dir / "mailbox" / "intagly" / "order.json").write_text("{}")
        (self.data_dir / "lock").write_text("4242")
        (self.data_dir / "slicing").mkdir()
        (self.data_dir / "slicing" / "scratch").write_text("scratch")
        (folder / "etc" / "printers").mkdir(parents=True)
        (folder / "etc" / "config.toml").write_text('[agent]\nname = "garage"\n')
        (folder / "etc" / "printers" / "mk3s.toml").write_text('name = "mk3s"\n')
        (folder / "etc" / "token").write_text("s3cret-token")
        self.etc = folder / "etc"

    def order(self, offer_id: str, model: bytes) -> Order:
        """An order on its way, with its model in the store."""
        order = add_offer(self.ledger, "market", make_offer(offer_id), self.now)
        assert order is not None
        dossier = order.dossier.model_copy(update={"files": {"m1": self.store.put(model)}})
        return self.ledger.move(order, OrderMove(to=State.ACCEPTED, event="accepted", dossier=dossier))

    def printing(self, order: Order, printer: str, gcode: bytes) -> Order:
        """Its job is uploaded there, and not started yet."""
        order = self.ledger.move(order, OrderMove(to=State.PRINTING, event="print_begun"))
        self.ledger.set_bed(printer, BedState.FREE, "Ada")
        job = self.ledger.claim(order.id, 1, printer, self.store.put(gcode))
        assert job is not None
        self.ledger.move_job(job, JobState.UPLOADED, "uploaded", {})
        return self.ledger.order(order.id)

    def sources(self, *, with_files: bool = True, with_secrets: bool = False) -> Sources:
        config = {"config.toml": self.etc / "config.toml", "printers/mk3s.toml": self.etc / "printers" / "mk3s.toml"}
        config |= {"token": self.etc / "token"} if with_secrets else {}
        return Sources(
            agent="garage",
            version="0",
            ledger=sqlite_file(self.data_dir),
            data_dir=self.data_dir,
            config=config,
            with_files=with_files,
            with_secrets=with_secrets,
        )

    def backup(self, into: Path, *, with_files: bool = True, with_secrets: bool = False) -> Taken:
        return take(self.sources(with_files=with_files, with_secrets=with_secrets), into)
