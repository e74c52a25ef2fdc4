"""The removal of files that no rule keeps any more."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.domain.retention import LATELY, REMOVED, Held, Removal, removed_in
from agent.ledger.files import DiskStore
from agent.ledger.sql_ledger import SqlLedger


def held_files(ledger: SqlLedger, store: DiskStore) -> list[Held]:
    """All files of the store, with who refers to them. Not for the daemon's own process."""
    stored = list(store.stored())
    known = ledger.references({file.sha256 for file in stored})
    return [
        Held(
            file.sha256,
            file.bytes,
            datetime.fromtimestamp(file.wanted_at, UTC),
            file.sha256 in known.needed,
            known.claims.get(file.sha256, ()),
        )
        for file in stored
    ]


def remove(ledger: SqlLedger, store: DiskStore, planned: Sequence[Removal], now: datetime) -> list[Removal]:
    """What was removed of it. It is written into the orders' histories first: whoever dies in between removes the rest another time.

    What somebody asked for since it was planned stays, although the history says otherwise; that counts only where the file is gone.
    """
    for order_id, of_order in _by_order(planned).items():
        known = removed_in(ledger.events(order_id))
        new = [each for each in of_order if each["sha256"] not in known]
        if new:
            ledger.record(order_id, REMOVED, {"bytes": sum(each["bytes"] for each in new), "files": new})
    before = (now - LATELY).timestamp()
    return [removal for removal in planned if store.remove(removal.file.sha256, before)]


def _by_order(planned: Sequence[Removal]) -> Mapping[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file, why in planned:
        for order_id, kind in {claim.order_id: claim.kind for claim in file.claims}.items():
            found[order_id].append({"sha256": file.sha256, "kind": kind, "bytes": file.bytes, "why": why})
    return found
