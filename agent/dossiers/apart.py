"""A dossier written by a process of its own: photos and pages of an order are more than the daemon may hold in memory."""

import json
import tempfile
from pathlib import Path

from agent.domain.errors import NeedsOperator, Refused
from agent.wire.child import Limits
from agent.wire.confined import Died, ask

_MODULE = "agent.commands.dossier_child"
_LIMITS = Limits(wall_s=240, cpu_s=180, memory_bytes=1536 * 2**20, file_bytes=2_000_000_000)


async def export_apart(ledger_url: str, files: Path, order_id: str, into: Path) -> None:
    """As `export` has it. `files`: the folder of the file store. NeedsOperator (code dossier_not_set) where it could not be made."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work.json")  # the address may hold a password: a command line is for everybody's eyes
        work.write_text(json.dumps({"ledger": ledger_url, "files": str(files.absolute()), "order": order_id, "into": str(into.absolute())}))
        try:
            told = await ask(_MODULE, [str(work)], _LIMITS)
        except Died as died:
            hint = "`intagly-agent export` on the agent's machine tells more."
            raise NeedsOperator(f"The dossier could not be made: {died}", hint=hint, code="dossier_not_set") from died
    if refused := told.get("refused"):
        raise Refused(refused["text"], hint=refused["hint"], code=refused["code"])
