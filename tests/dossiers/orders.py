"""An order with everything on it, in a real ledger and file store."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image

from agent.domain.decision import Answer, Decision, Quote, RuleResult
from agent.domain.job import JobState
from agent.domain.mesh import MeshReport, Reason, Verdict
from agent.domain.offer import Attestation, Item, ModelFile, RemoteState, Shipping, Supports
from agent.domain.order import Dossier, Order, State
from agent.domain.plate import PrintSettings, ProofLine, SlicedPlate
from agent.domain.print_time import PrintTime
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Step
from agent.domain.values import Color
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from agent.sandbox.marketplace.label import label_pdf
from tests.ledger.offers import add_offer
from tests.workflow.workshop import make_offer, remote_order

SENTENCE = "I have looked – “no visible flaws”, 日本語, кириллица 🎉"


class Records:
    """A ledger and a file store in one folder."""

    def __init__(self, ledger: SqlLedger, folder: Path) -> None:
        self.ledger, self.folder = ledger, folder
        self.store = DiskStore(folder / "files")
        self.store.open()

    def offered(self, instructions: str = "", name: str = "hook.stl") -> Order:
        offer = make_offer(special_instructions=instructions)
        item = Item(item_id="i1", file_id="m1", quantity=2, color=Color(name="Grün"), infill_percent=15, supports=Supports.NO)
        files = [ModelFile(file_id="m1", name=name, bytes=84, sha256=self.store.put(b"solid " + bytes(78)))]
        added = add_offer(self.ledger, "market", offer.model_copy(update={"items": [item], "files": files}), _soon())
        assert added is not None
        return added

    def closed(self, instructions: str = "Bitte vorsichtig: łódź, 日本, \u202eRTL, 🎉", name: str = "Haken größer.stl") -> Order:
        """With a decision, a mesh and its picture, a plate, a job, photos, agreements and a label."""
        order = self.offered(instructions, name)
        dossier = self._made(order.dossier)
        order = self.ledger.move(order, OrderMove(to=State.PRINTING, event="print_begun", dossier=dossier))
        self._printed(order)
        question = self.ledger.ask(self.ledger.order(order.id), NewQuestion(step=Step.PHOTOS, text=f"Photos. {SENTENCE}"))
        self.ledger.answer(question, {"photos": {"photo-1": "…"}}, "Ada Example")
        order = self.ledger.order(order.id)
        return self.ledger.move(order, OrderMove(to=State.CLOSED, event="delivered", dossier=self._sent(order.dossier)))

    def _made(self, dossier: Dossier) -> Dossier:
        decision = Decision(
            answer=Answer.ACCEPT,
            rules=[RuleResult(rule="payout", value="12.50 EUR", limit="5.00 EUR", ok=True)],
            quotes=[Quote(printer="mk3s", ok=True, print_seconds=600, filament_g=3, plates=1)],
        )
        file = dossier.offer.files[0]
        report = MeshReport(
            sha256=file.sha256,
            verdict=Verdict.REPAIRED,
            reasons=[Reason(code="HOLES", text="2 holes were closed.")],
            triangles=12,
            bounding_box_mm=(20, 20, 20),
            volume_mm3=8000,
            shells=1,
            canonical_sha256=file.sha256,
            pictures={"isometric": self.store.put(picture("PNG")), "top": self.store.put(picture("PNG", (9, 9, 200)))},
        )
        plate = SlicedPlate(
            number=1, gcode_sha256=self.store.put(b"G28\n"), copies={"i1": 2}, profile="prusa-mk3s", slicer="PrusaSlicer 2.5",
            settings=PrintSettings(material="PLA", color=Color(name="Grün"), infill_percent=15, supports=Supports.NO),
            print_seconds=600, filament_g=3.0, filament_mm=1000, layers=100, height_mm=20,
            proof=[ProofLine(check="infill", expected="15 %", found="15 %", ok=True)],
        )  # fmt: skip
        return dossier.model_copy(
            update={
                "decision": decision,
                "remote": remote_order(dossier.offer).model_copy(
                    update={"attestations_required": [Attestation(code="no_flaws", text=SENTENCE)]}
                ),
                "files": {"m1": file.sha256},
                "meshes": {"m1": report},
                "plates": [plate],
            }
        )

    def _printed(self, order: Order) -> None:
        self.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        job = self.ledger.claim(order.id, 1, "mk3s", order.dossier.plates[0].gcode_sha256)
        assert job is not None
        job = self.ledger.move_job(job, JobState.UPLOADED, "uploaded", {})
        job, intent = self.ledger.open_start(job)
        job = self.ledger.move_job(job, JobState.PRINTING, "printing", {}, settles=intent)
        took = PrintTime(printer="mk3s", profile="prusa-mk3s", slicer="PrusaSlicer 2.5", planned_s=600, took_s=640)
        self.ledger.move_job(job, JobState.FINISHED, "print_finished", {"planned_s": 600, "took_s": 640}, BedState.OCCUPIED, took=took)

    def _sent(self, dossier: Dossier) -> Dossier:
        assert dossier.remote is not None
        agreement = {
            "code": "no_flaws",
            "text_sha256": hashlib.sha256(SENTENCE.encode()).hexdigest(),
            "agreed_by": "Ada Example",
            "agreed_at": "2026-11-27T10:00:00Z",
        }
        label = self.store.put(label_pdf(["Sandbox Post", "SBX123"], "SBX123"))
        shipping = Shipping(carrier="Sandbox Post", tracking_number="SBX123", label_sha256=label)
        return dossier.model_copy(
            update={
                "photos": {"photo-1": self.store.put(picture("JPEG")), "photo-2": self.store.put(b"\xff\xd8\xff no picture at all")},
                "said": {"agreements": [agreement], "customer_note": "Danke! 🎉", "internal_note": ""},
                "label_sha256": label,
                "remote": dossier.remote.model_copy(update={"state": RemoteState.CLOSED, "shipping": shipping}),
            }
        )


def picture(kind: str, color: tuple[int, int, int] = (40, 60, 140)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(written, kind)
    return written.getvalue()


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=15)


@contextmanager
def records(folder: Path) -> Iterator[Records]:
    with SqlLedger(sqlite_url(folder)) as ledger:
        yield Records(ledger, folder)
