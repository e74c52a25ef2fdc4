"""What writes a dossier for the page. `python -m agent.commands.dossier_child WORK.json`, see agent/dossiers/apart.py."""

import asyncio
import json
import sys
from pathlib import Path

from agent import __version__
from agent.domain.errors import AgentError
from agent.dossiers.export import export
from agent.ledger.files import DiskStore
from agent.ledger.sql_ledger import SqlLedger
from agent.wire.confined import answer


def main(work: Path) -> None:
    told = json.loads(work.read_text())
    try:
        with SqlLedger(told["ledger"]) as ledger:
            done = asyncio.run(export(told["order"], ledger, DiskStore(Path(told["files"])), Path(told["into"]), __version__))
    except AgentError as error:
        answer({"refused": {"text": str(error), "hint": error.hint, "code": error.code}})
        return
    answer({"bytes": done.bytes, "seal": done.seal, "missing": done.missing})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
