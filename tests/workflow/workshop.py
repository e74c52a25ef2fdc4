"""A whole workshop in memory, except for the ledger and the file store, which are the real ones.

The outside (printer, marketplace) outlives the agent: a test may kill the agent at any call and start another one
over the same outside, then count what the outside saw.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Self

from agent.domain.errors import Refused, Transient, Unsound
from agent.domain.mesh import MeshReport, Pose, Verdict
from agent.domain.offer import (
    Agreement,
    Attestation,
    DeclineReason,
    Item,
    ModelFile,
    Offer,
    OfferState,
    ProblemCode,
    RemoteOrder,
    RemoteState,
    Supports,
)
from agent.domain.plate import ProofLine, SlicedPlate
from agent.domain.printer import LoadedMaterial, PrinterFacts, PrinterObservation, PrinterState, away
from agent.domain.values import Color, Money
from agent.ledger.database import utc_now
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.notifier import Notice
from agent.ports.slicer import Progress, SliceWork
from agent.workflow.acceptance import Policy
from agent.workflow.poses import Orient
from agent.workflow.reconcile import Reconciler
from agent.workflow.shop import Pace, Shop
from agent.workflow.turns import Turns
from tests.ledger.offers import add_offer
from tests.rigs.empty_ledger import lay_empty_ledger

MODEL = b"the customer's model"
MODEL_SHA256 = hashlib.sha256(MODEL).hexdigest()
BLACK = Color(name="black", hex="#1a1a1a")


class Killed(BaseException):
    """The agent died here. No `except` of the product may catch it."""


@dataclass
class Fate:
    """Kills the agent at its n-th call to the outside or to the ledger, counted over its life."""

    dies_at: int | None = None
    calls: int = 0
    dead: bool = False

    def step(self) -> None:
        self.calls += 1
        if self.dead or self.calls == self.dies_at:
            self.dead = True
            raise Killed


@dataclass
class OutsidePrinter:
    """The machine itself: remembers files, its job, every start it made."""

    files: dict[str, bytes] = field(default_factory=dict)
    history: dict[str, PrinterState] = field(default_factory=dict)
    current: str = ""
    state: PrinterState = PrinterState.IDLE
    starts: list[str] = field(default_factory=list)
    refuses: bool = False
    unreachable: bool = False
    """It can be looked at, and answers nothing else."""
    nonsense: str = ""
    """What is told of its answers, which make no sense."""
    reset: bool = False
    """It was switched off and on: it proves nothing any more."""

    def finish(self, state: PrinterState = PrinterState.FINISHED) -> None:
        self.history[self.current], self.state = state, state


class FakePrinter:
    """The adapter over `OutsidePrinter`."""

    def __init__(self, outside: OutsidePrinter, fate: Fate, name: str = "mk3s", *, clears_its_own_bed: bool = False) -> None:
        self.outside, self._fate = outside, fate
        self.facts = PrinterFacts(
            name=name,
            kind="fake",
            profile="test",
            slicer="fake",
            bed_mm=(250, 210, 210),
            nozzle_mm=0.4,
            materials=[LoadedMaterial(material="PLA", color=BLACK)],
            profile_materials=["PLA"],
            clears_its_own_bed=clears_its_own_bed,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    async def observe(self) -> PrinterObservation:
        self._fate.step()
        if self.outside.nonsense:
            return away(Unsound(self.outside.nonsense))
        why = "no answer" if self.outside.state is PrinterState.OFFLINE else ""
        return PrinterObservation(state=self.outside.state, remote_name=self.outside.current, reason=why)

    async def upload(self, gcode: Path, remote_name: str) -> None:
        self._fate.step()
        self.outside.files[remote_name] = gcode.read_bytes()

    async def start(self, remote_name: str) -> None:
        self._fate.step()
        if self.outside.state in (PrinterState.PRINTING, PrinterState.OFFLINE) or self.outside.refuses:
            raise Refused("busy")
        assert remote_name in self.outside.files
        self.outside.starts.append(remote_name)
        self.outside.current, self.outside.state = remote_name, PrinterState.PRINTING
        self._fate.step()

    async def never_started(self, remote_name: str) -> bool:
        self._fate.step()
        return not self.outside.reset and remote_name not in self.outside.starts

    async def outcome(self, remote_name: str) -> PrinterObservation | None:
        self._fate.step()
        self._must_be_reachable()
        state = self.outside.history.get(remote_name)
        return None if state is None else PrinterObservation(state=state, remote_name=remote_name)

    def _must_be_reachable(self) -> None:
        if self.outside.unreachable:
            raise Transient("no answer")
        if self.outside.nonsense:
            raise Unsound(self.outside.nonsense)

    async def pause(self, remote_name: str) -> None: ...

    async def resume(self, remote_name: str) -> None: ...

    async def cancel(self, remote_name: str) -> None:
        self._fate.step()
        self._must_be_reachable()
        if remote_name != self.outside.current:
            raise Refused("not at it", code="not_active")
        self.outside.finish(PrinterState.CANCELLED)


@dataclass
class OutsideMarket:
    """The marketplace's side, and everything it was ever told."""

    offers: dict[str, Offer] = field(default_factory=dict)
    orders: dict[str, RemoteOrder] = field(default_factory=dict)
    acts: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    drops_replies: int = 0
    attestations: list[Attestation] = field(default_factory=list)
    """Instead of the usual one."""
    declined: dict[str, str] = field(default_factory=dict)
    """Offer -> what was told with it."""

    def add(self, offer: Offer) -> None:
        self.offers[offer.offer_id] = offer

    def act(self, name: str, key: str) -> bool:
        """True where it is done now; the same key is the same act."""
        if key in self.keys:
            return False
        self.keys.add(key)
        self.acts.append(name)
        return True

    def lose_reply(self) -> None:
        if self.drops_replies:
            self.drops_replies -= 1
            raise Transient("the connection broke")


class FakeMarket:
    """The adapter over `OutsideMarket`."""

    name = "market"
    answered_by_person = False

    def __init__(self, outside: OutsideMarket, fate: Fate) -> None:
        self.outside, self._fate = outside, fate

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    async def offers(self) -> Sequence[Offer]:
        return [offer for offer in self.outside.offers.values() if offer.state is OfferState.OPEN]

    async def wait_for_news(self) -> None:
        await asyncio.Event().wait()

    async def offer(self, offer_id: str) -> Offer:
        self._fate.step()
        return self.outside.offers[offer_id]

    async def accept(self, offer_id: str, key: str) -> RemoteOrder:
        self._fate.step()
        offer = self.outside.offers[offer_id]
        if offer.state not in (OfferState.OPEN, OfferState.ACCEPTED):
            raise Refused(f"the offer is {offer.state}", code=str(offer.state))
        if self.outside.act(f"accept {offer_id}", key):
            self.outside.offers[offer_id] = offer.model_copy(update={"state": OfferState.ACCEPTED})
            accepted = remote_order(offer)
            self.outside.orders[offer_id] = accepted.model_copy(
                update={"attestations_required": self.outside.attestations or accepted.attestations_required}
            )
        self._fate.step()
        self.outside.lose_reply()
        return self.outside.orders[offer_id]

    async def decline(self, offer_id: str, reason: DeclineReason, text: str, key: str) -> None:
        self._fate.step()
        self.outside.declined[offer_id] = text
        self.outside.act(f"decline {offer_id} {reason}", key)
        self._fate.step()

    async def order_of(self, offer_id: str) -> RemoteOrder | None:
        self._fate.step()
        return self.outside.orders.get(offer_id)

    async def order(self, order_id: str) -> RemoteOrder:
        self._fate.step()
        return next(order for order in self.outside.orders.values() if order.order_id == order_id)

    async def fetch(self, offer_id: str, order_id: str | None, file_id: str, into: Path, limit_bytes: int) -> None:  # noqa: ARG002 (the port's)
        self._fate.step()
        if order_id is None and not self.outside.offers[offer_id].files_before_accept:
            raise Refused("not before", code="not_before_accept")
        into.write_bytes(MODEL)

    async def start(self, order_id: str, key: str) -> RemoteOrder:
        return self._done("start", order_id, RemoteState.STARTED, key)

    async def put_photo(self, order_id: str, photo_id: str, photo: Path, key: str) -> None:
        self._fate.step()
        assert photo.is_file()
        self.outside.act(f"photo {order_id} {photo_id}", key)

    async def submit(
        self, order_id: str, photo_ids: Sequence[str], agreements: Sequence[Agreement], customer_note: str, internal_note: str, key: str
    ) -> RemoteOrder:
        assert photo_ids
        assert agreements
        assert not customer_note + internal_note
        return self._done("submit", order_id, RemoteState.LABEL_READY, key)

    async def label(self, order_id: str, into: Path) -> None:
        self._fate.step()
        assert order_id
        into.write_bytes(b"%PDF-1.4 label")

    async def delivered(self, order_id: str, dropped_off_at: datetime, place: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return self._done("delivered", order_id, RemoteState.DELIVERED, key)

    async def report_problem(self, order_id: str, problem: ProblemCode, text: str, key: str) -> None:  # noqa: ARG002 (the port's)
        self._done(f"problem {problem}", order_id, RemoteState.PROBLEM, key)

    def _done(self, act: str, order_id: str, to: RemoteState, key: str) -> RemoteOrder:
        self._fate.step()
        offer_id = next(offer_id for offer_id, order in self.outside.orders.items() if order.order_id == order_id)
        if self.outside.act(f"{act} {order_id}", key):
            self.outside.orders[offer_id] = self.outside.orders[offer_id].model_copy(update={"state": to})
        self._fate.step()
        self.outside.lose_reply()
        return self.outside.orders[offer_id]


class FakeSlicer:
    """Slices nothing; the G-code is a sentence about the order."""

    def __init__(self, store: DiskStore) -> None:
        self._store = store
        self.sliced = 0
        self.proves = True
        self.error: Exception | None = None

    async def warm(self) -> None: ...

    def key(self, work: SliceWork) -> str:
        return hashlib.sha256(work.model_dump_json().encode()).hexdigest()

    async def slice(self, work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:  # noqa: ARG002 (the port's)
        if self.error is not None:
            raise self.error
        self.sliced += 1
        gcode = self._store.put(f"G28 ; {work.settings.infill_percent} %".encode())
        proof = ProofLine(check="copies", expected="1", found="1" if self.proves else "0", ok=self.proves)
        return [
            SlicedPlate(
                number=work.first_number,
                gcode_sha256=gcode,
                copies={part.item_id: part.quantity for part in work.parts},
                settings=work.settings,
                profile=work.printer.profile,
                slicer="fake 1",
                print_seconds=600,
                filament_g=3.0,
                filament_mm=1000,
                layers=100,
                height_mm=20,
                proof=[proof],
            )
        ]


class FakeMeshes:
    """Every model is a good one, unless a test says otherwise."""

    def __init__(self, store: DiskStore) -> None:
        self._store = store
        self.verdict = Verdict.PRINT

    def warm(self) -> None: ...

    async def inspect(self, sha256: str, name: str, alone: bool = False) -> MeshReport:  # noqa: ARG002 (the port's)
        canonical = "" if self.verdict is Verdict.REJECT else self._store.put(self._store.path(sha256).read_bytes())
        return MeshReport(
            sha256=sha256,
            verdict=self.verdict,
            triangles=12,
            bounding_box_mm=(20, 20, 20),
            volume_mm3=8000,
            shells=1,
            canonical_sha256=canonical,
        )

    async def turned(self, mesh_sha256: str, pose: Pose) -> Pose | None:
        return pose.model_copy(update={"mesh_sha256": self._store.put(f"{mesh_sha256} {pose.turn}".encode())})

    async def pictures(self, mesh_sha256: str) -> dict[str, str]:
        return {"isometric": self._store.put(f"a picture of {mesh_sha256}".encode())}


class Inbox:
    """The operator's phone."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def notify(self, notice: Notice) -> None:
        self.notices.append(notice)

    async def aclose(self) -> None: ...


class MortalLedger(SqlLedger):
    """The real ledger; the agent may die right before or right after any of its commits."""

    def __init__(self, url: str, fate: Fate, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(url, now)
        self.fate = fate


def _mortal(name: str) -> None:
    real = getattr(SqlLedger, name)

    def dies(self: MortalLedger, *args: object, **kwargs: object) -> object:
        self.fate.step()
        result = real(self, *args, **kwargs)
        self.fate.step()
        return result

    setattr(MortalLedger, name, dies)


for _name in ("move", "move_job", "claim", "open_start", "intent", "settle", "ask", "settle_question", "remember_slice"):
    _mortal(_name)


def make_offer(offer_id: str = "f1", *, minutes: float = 15, files_before_accept: bool = True, **changes: object) -> Offer:
    now = datetime.now(UTC)
    offer = Offer(
        offer_id=offer_id,
        state=OfferState.OPEN,
        created_at=now,
        accept_by=now + timedelta(minutes=minutes),
        accept_within_s=minutes * 60,
        payout=Money(amount=Decimal("12.50"), currency="EUR"),
        items=[Item(item_id="i1", file_id="m1", quantity=1, color=BLACK, infill_percent=15, supports=Supports.NO)],
        files=[ModelFile(file_id="m1", name="hook.stl", bytes=len(MODEL), sha256=MODEL_SHA256)],
        files_before_accept=files_before_accept,
    )
    return offer.model_copy(update=changes)


def remote_order(offer: Offer) -> RemoteOrder:
    return RemoteOrder(
        order_id=f"r-{offer.offer_id}",
        offer_id=offer.offer_id,
        state=RemoteState.ACCEPTED,
        revision=1,
        updated_at=datetime.now(UTC),
        payout=offer.payout,
        items=offer.items,
        files=offer.files,
        attestations_required=[Attestation(code="no_flaws", text="I have looked and there are no visible flaws.")],
    )


@dataclass
class Outside:
    """Everything that outlives the agent."""

    folder: Path
    printer: OutsidePrinter = field(default_factory=OutsidePrinter)
    market: OutsideMarket = field(default_factory=OutsideMarket)


FAST = Pace(confirm_start_s=0.0, request_on_its_way_s=0.0, start_may_take_s=0.0, printing_s=0.0, first_retry_s=0.0, label_s=0.0)


class Workshop:
    """An agent over an outside."""

    def __init__(
        self,
        outside: Outside,
        *,
        fate: Fate | None = None,
        policy: Policy | None = None,
        pace: Pace = FAST,
        clears_its_own_bed: bool = False,
        orient: Orient = Orient.PROPOSE,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.outside, self.fate = outside, fate or Fate()
        self.store = DiskStore(outside.folder / "files")
        self.store.open()
        if not sqlite_file(outside.folder).exists():
            lay_empty_ledger(outside.folder)
        self.ledger = MortalLedger(sqlite_url(outside.folder), Fate(), now)
        self.inbox = Inbox()
        self.slicer = FakeSlicer(self.store)
        self.meshes = FakeMeshes(self.store)
        self.printer = FakePrinter(outside.printer, self.fate, clears_its_own_bed=clears_its_own_bed)
        self.market = FakeMarket(outside.market, self.fate)
        self.shop = Shop(
            ledger=self.ledger,
            store=self.store,
            marketplaces={"market": self.market},
            printers={"mk3s": self.printer},
            slicers={"fake": self.slicer},
            meshes=self.meshes,
            notifier=self.inbox,
            policy=policy or Policy(),
            now=now,
            local_now=datetime.now,
            largest_file_bytes=1_000_000,
            slicing=Turns(1),
            pace=pace,
            orient=orient,
        )
        self.reconciler = Reconciler(self.shop)

    def __enter__(self) -> Self:
        self.ledger.__enter__()
        self.ledger.fate = self.fate
        return self

    def __exit__(self, *exc: object) -> None:
        self.ledger.__exit__()

    def receive(self) -> None:
        """What the intake does: every open offer the ledger does not know yet becomes an order."""
        for offer in self.outside.market.offers.values():
            if offer.state is OfferState.OPEN:
                add_offer(self.ledger, "market", offer, self.shop.now() + timedelta(seconds=offer.accept_within_s))

    async def settle(self, rounds: int = 12) -> None:
        """Let every due order go on until nothing changes, or the rounds are used up."""
        for _ in range(rounds):
            for order_id in self.ledger.due(self.shop.now(), 100):
                await self.reconciler.reconcile(order_id)
