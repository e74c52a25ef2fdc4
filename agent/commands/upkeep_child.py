"""What backs up and tidies for the daemon. `python -m agent.commands.upkeep_child WORK.json`, see agent/ledger/upkeep.py."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.domain.errors import AgentError
from agent.domain.retention import Kind, Rule, removals
from agent.ledger.files import DiskStore
from agent.ledger.keeping import held_files, remove
from agent.ledger.sql_ledger import SqlLedger
from agent.ledger.taking import Sources, take
from agent.wire.confined import answer

_MOST_TOLD = 20


def main(work: Path) -> None:
    told = json.loads(work.read_text())
    try:
        answer(_tidied(**told["tidy"]) if "tidy" in told else _backed_up(told))
    except AgentError as error:
        answer({"refused": {"text": str(error), "hint": error.hint, "code": error.code}})


def _backed_up(told: dict[str, Any]) -> dict[str, Any]:
    taken = take(Sources.model_validate(told["backup"]), Path(told["into"]))
    return taken.model_copy(update={"left_out": taken.left_out[:_MOST_TOLD]}).model_dump(mode="json")


def _tidied(ledger: str, files: str, rule: dict[str, Any]) -> dict[str, Any]:
    by = Rule(**{**rule, "days": {Kind[name]: days for name, days in rule["days"].items()}})
    store, now = DiskStore(Path(files)), datetime.now(UTC)
    with SqlLedger(ledger) as opened:
        gone = remove(opened, store, removals(held_files(opened, store), by, now), now)
    return {"files": len(gone), "bytes": sum(removal.file.bytes for removal in gone)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
