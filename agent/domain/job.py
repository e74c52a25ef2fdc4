"""A job: one plate on one printer, one attempt. Its remote name is the only key a printer gives us."""

import re
from enum import StrEnum

from agent.domain.values import Value


class JobState(StrEnum):
    """CLAIMED → UPLOADED → STARTING → PRINTING → FINISHED → HARVESTED.

    FINISHED is not HARVESTED: the part is still on the bed until a person, or the printer itself, cleared it.
    FAILED and CANCELLED wait for a person to decide; DISCARDED when they did: the plate is printed again.
    """

    CLAIMED = "claimed"
    UPLOADED = "uploaded"
    STARTING = "starting"
    PRINTING = "printing"
    FINISHED = "finished"
    HARVESTED = "harvested"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"


HOLDS_PRINTER = (JobState.CLAIMED, JobState.UPLOADED, JobState.STARTING, JobState.PRINTING, JobState.FINISHED)
"""States in which a job has its printer to itself; the ledger's unique index names the same."""


class Job(Value):
    """One attempt to print one plate on one printer."""

    id: int
    order_id: str
    plate: int
    attempt: int
    printer: str
    remote_name: str
    gcode_sha256: str
    state: JobState
    version: int


def remote_name(order_id: str, plate: int, attempt: int, gcode_sha256: str) -> str:
    """The file name a printer knows this attempt by: `<order>-<plate>-<attempt>-<8 of sha256>.gcode`, safe on every firmware."""
    safe = re.sub(r"[^A-Za-z0-9]+", "_", order_id).strip("_") or "order"
    return f"{safe[:40]}-{plate}-{attempt}-{gcode_sha256[:8]}.gcode"
