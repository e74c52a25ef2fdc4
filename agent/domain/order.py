"""An order on its path: the states, and everything the ledger keeps of it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from agent.domain.decision import Decision
from agent.domain.mesh import MeshReport
from agent.domain.offer import Offer, RemoteOrder
from agent.domain.plate import SlicedPlate
from agent.domain.schedule import Batch
from agent.domain.values import Value


class State(StrEnum):
    """The guide's steps. The first fourteen are the path, in its order; the rest stand beside it."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    FETCHED = "fetched"
    CHECKED = "checked"
    SLICED = "sliced"
    PRINTING = "printing"
    PRINTED = "printed"
    PHOTOS = "photos"
    SUBMITTED = "submitted"
    LABEL = "label"
    PACKING = "packing"
    DROP_OFF = "drop_off"
    DELIVERED = "delivered"
    CLOSED = "closed"

    ON_HOLD = "on_hold"
    DECLINED = "declined"
    EXPIRED = "expired"
    LOST = "lost"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED = frozenset({State.CLOSED, State.DECLINED, State.EXPIRED, State.LOST, State.CANCELLED, State.FAILED})
"""Nothing is done any more for an order in one of these; its history is kept."""


class Dossier(Value):
    """What was learned of an order on its way, each part written once by the step that learned it.

    `batches`: what the printers would have to do, with every way that was found; of use until there are plates.
    `files`: file id -> sha256 in the store. `meshes`: file id -> verdict. `plates`: what is printed, with its proof.
    `photos`: photo id -> sha256. `said`: what a person said with the photos (agreements, notes). `label_sha256`: the carrier's label.
    """

    offer: Offer
    remote: RemoteOrder | None = None
    decision: Decision | None = None
    files: dict[str, str] = {}
    meshes: dict[str, MeshReport] = {}
    plates: list[SlicedPlate] = []
    batches: list[Batch] = []
    photos: dict[str, str] = {}
    said: dict[str, Any] = {}
    label_sha256: str = ""


class Order(Value):
    """One row of the ledger. `version` is what a transition must name; `due_at` None means only an answer wakes it."""

    id: str
    marketplace: str
    state: State
    resume_state: State | None = None
    version: int
    due_at: datetime | None
    accept_by: datetime
    tries: int = 0
    created_at: datetime
    updated_at: datetime
    dossier: Dossier

    @property
    def ended(self) -> bool:
        return self.state in ENDED
