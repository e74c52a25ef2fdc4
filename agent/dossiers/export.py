"""An order as one file."""

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.retention import removed_in
from agent.dossiers.archive import written
from agent.dossiers.manifest import SEAL, ChainEnd, canonical, sealed
from agent.dossiers.paper import Block, paper
from agent.dossiers.story import Story, attached, contents, documents, story_of
from agent.ports.files import FileStore
from agent.ports.ledger import Ledger
from agent.wire.child import Limits
from agent.wire.confined import Died, ask

PAPER, MISSING = "dossier.pdf", "missing.json"
_LIMITS = Limits(wall_s=180, cpu_s=120, memory_bytes=1024 * 2**20, file_bytes=200_000_000)
_SHOWN = (".jpg", ".png", ".webp")


class Exported(NamedTuple):
    """`seal`: the manifest's sha256; noted somewhere else, it proves later that nobody wrote the whole file anew. `missing`: members that
    the file store has no more."""

    path: Path
    order_id: str
    seal: str
    bytes: int
    missing: list[str]


async def export(order_id: str, ledger: Ledger, store: FileStore, into: Path, version: str, *, everything: bool = False) -> Exported:
    """Write the dossier of this order, in any state. `version`: of the program. `everything`: with the models and the G-code.

    Refused (no_such_order); Refused (cannot_write) where `into` cannot be written: then nothing is left there.
    """
    story = story_of(order_id, ledger)
    members = await members_of(story, store, version, everything=everything)
    size = _write(into, members)
    missing = [file["name"] for file in json.loads(members[MISSING])]
    return Exported(into, order_id, json.loads(members[SEAL])["manifest_sha256"], size, missing)


async def members_of(story: Story, store: FileStore, version: str, *, everything: bool) -> dict[str, bytes]:
    """All of them, sealed."""
    files = list(attached(story.order, store, everything=everything))
    found, missing = contents(files, store, removed_in(story.events))
    pictures = {file.name: str(store.path(file.sha256).absolute()) for file in files if file.name in found and file.name.endswith(_SHOWN)}
    readable = await _printed(story, paper(story, pictures, files, missing))
    members = {PAPER: readable, **documents(story), MISSING: canonical(missing), **found}
    return sealed(members, story.order.id, chain_end(story), version)


def chain_end(story: Story) -> ChainEnd:
    last = story.events[-1]
    return ChainEnd(n=last.n, hash=last.hash)


async def _printed(story: Story, blocks: Sequence[Block]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        work, output = Path(folder, "paper.json"), Path(folder, "paper.pdf")
        last = story.events[-1]
        work.write_bytes(
            canonical({"blocks": blocks, "footer": f"Order {story.order.id}, up to event {last.n}", "at": last.at.isoformat()})
        )
        try:
            await ask("agent.dossiers.press", [str(work), str(output)], _LIMITS)
        except Died as died:
            raise NeedsOperator(
                f"The readable part of the dossier could not be made: {died}", hint="Please report it.", code="dossier_not_set"
            ) from died
        return output.read_bytes()


def _write(into: Path, members: Mapping[str, bytes]) -> int:
    """Under a temporary name beside it, so that whatever is there is whole."""
    beside = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        with beside.open("xb") as file:
            for piece in written(members):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        beside.replace(into)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        hint = "Give another file with -o, or free some space."
        raise Refused(f"{into} cannot be written: {error.strerror}.", hint=hint, code="cannot_write") from error
    return size
