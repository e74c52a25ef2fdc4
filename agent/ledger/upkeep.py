"""What the daemon does for its own future: backups on time, and the removal of files that no rule keeps. Each in a process of its own, so
that reading the whole ledger costs the daemon nothing."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from agent.domain.errors import AgentError, NeedsOperator, Refused
from agent.domain.retention import Rule
from agent.ledger.taking import Sources, Taken, earlier, name_for
from agent.ports.notifier import Notice, Notifier, Urgency
from agent.wire.child import Limits
from agent.wire.confined import Died, ask

log = structlog.get_logger()

_MODULE = "agent.commands.upkeep_child"
_LIMITS = Limits(wall_s=4 * 3600, cpu_s=3600, memory_bytes=1024 * 2**20, file_bytes=2**40, line_bytes=100_000)
_LONGEST_SLEEP_S = 3600.0
"""The clock may be set, and somebody may tidy the folder up."""
AGAIN_S = 900.0
"""After a backup that failed."""
FIRST_REMOVAL_S, REMOVAL_S = 600.0, 6 * 3600.0


class Backups:
    """Makes one whenever the newest in the folder is old enough, and keeps as many as it was told. Runs until cancelled."""

    def __init__(
        self, sources: Sources, folder: Path, every: timedelta, keep: int, notifier: Notifier, now: Callable[[], datetime]
    ) -> None:
        self._sources = sources
        self._folder = folder
        self._every = every
        self._keep = keep
        self._notifier = notifier
        self._now = now
        self._told = False
        """Until one is made again, that none can be made is told once."""

    async def run(self) -> None:
        while True:
            pause_s = self._due_in_s()
            if pause_s <= 0:
                pause_s = 0.0 if await self.make() else AGAIN_S
            await asyncio.sleep(min(pause_s, _LONGEST_SLEEP_S))

    def _due_in_s(self) -> float:
        found = earlier(self._folder, self._sources.agent)
        if not found:
            return 0.0
        made_at = datetime.fromtimestamp(found[-1].stat().st_mtime, UTC)
        return (made_at + self._every - self._now()).total_seconds()

    async def make(self) -> bool:
        """False where it did not work out."""
        try:
            into = self._folder / name_for(self._sources.agent, self._now())
            taken = Taken.model_validate(await _apart({"backup": self._sources.model_dump(mode="json"), "into": str(into)}))
            self._remove_old()
        except (AgentError, OSError) as error:
            await self._tell(error)
            return False
        self._told = False
        log.info(
            "backup_made", file=str(into), bytes=taken.bytes, orders=taken.orders, left_out=[left.name for left in taken.left_out][:20]
        )
        return True

    def _remove_old(self) -> None:
        for old in earlier(self._folder, self._sources.agent)[: -self._keep]:
            old.unlink()

    async def _tell(self, error: AgentError | OSError) -> None:
        why = error.told() if isinstance(error, AgentError) else f"{error.filename}: {error.strerror}"
        log.error("backup_failed", why=why, again_in_s=AGAIN_S)
        if self._told:
            return
        self._told = True
        text = f"No backup could be made in {self._folder}. {why} It is tried again, and told again only after one was made."
        await self._notifier.notify(Notice(event="backup_failed", title="No backup", text=text, urgency=Urgency.ALARM))


class Tidying:
    """Removes what no rule keeps, some time after the start and then now and again. Runs until cancelled."""

    def __init__(self, ledger_url: str, files: Path, rule: Rule) -> None:
        self._work = {
            "ledger": ledger_url,
            "files": str(files.absolute()),
            "rule": {**rule._asdict(), "days": {kind.name: days for kind, days in rule.days.items()}},
        }

    async def run(self) -> None:
        await asyncio.sleep(FIRST_REMOVAL_S)  # the start has other things to do
        while True:
            await self.tidy()
            await asyncio.sleep(REMOVAL_S)

    async def tidy(self) -> None:
        try:
            gone = await _apart({"tidy": self._work})
        except AgentError as error:
            log.error("files_not_tidied", why=error.told(), again_in_s=REMOVAL_S)
            return
        if gone["files"]:
            log.info("files_removed", files=gone["files"], bytes=gone["bytes"])


async def _apart(work: Mapping[str, Any]) -> dict[str, Any]:
    """Refused and NeedsOperator as they were there; NeedsOperator where it died."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "work.json")  # the ledger's address may hold a password: a command line is for everybody's eyes
        told.write_text(json.dumps(work))
        try:
            answer = await ask(_MODULE, [str(told)], _LIMITS)
        except Died as died:
            hint = "`intagly-agent backup` and `intagly-agent files` tell more."
            raise NeedsOperator(str(died), hint=hint, code="upkeep_died") from died
    if refused := answer.get("refused"):
        raise Refused(refused["text"], hint=refused["hint"], code=refused["code"])
    return answer
