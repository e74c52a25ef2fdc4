"""SIGHUP: the configuration is read anew, checked as a whole, and put into force or not at all."""

import asyncio
from collections.abc import Callable

import structlog

from agent.config.mistakes import BadConfiguration
from agent.config.model import Settings
from agent.domain.errors import AgentError, ConfigError
from agent.ports.notifier import Notice, Urgency
from agent.wire import systemd
from agent.workshop import Plan, Workshop

log = structlog.get_logger()

_STAYS = "What was in force before stays in force."


class Asked:
    """What signals ask of the daemon, and printers that may be let go. However often it is asked before it is heard, it is asked once."""

    def __init__(self) -> None:
        self.stop = False
        self.reload = False
        self.let_go = False
        self._came = asyncio.Event()

    def to_stop(self) -> None:
        self.stop = True
        self._came.set()

    def to_reload(self) -> None:
        self.reload = True
        self._came.set()

    def to_let_go(self) -> None:
        self.let_go = True
        self._came.set()

    async def something(self) -> None:
        """Until something was asked that was not heard yet."""
        await self._came.wait()
        self._came.clear()


class Reloading:
    """Tells what came of it: in the log, to systemd, and to people what needs them."""

    def __init__(self, workshop: Workshop, read: Callable[[], Settings]) -> None:
        self._workshop = workshop
        self._read = read
        self._told = ""
        """The mistakes that people were told of last: they are called once for the same ones."""
        self._needs_restart: list[str] = []

    async def awaited(self, asked: Asked) -> Plan | None:
        """The next configuration to work by; None where the daemon is to stop."""
        while not asked.stop:
            if asked.reload or asked.let_go:
                plan = await self._planned(anew=asked.reload, asked=asked)
                if plan is not None:
                    return plan
            await asked.something()
        return None

    async def _planned(self, *, anew: bool, asked: Asked) -> Plan | None:
        asked.reload = asked.let_go = False
        systemd.reloading()
        try:
            settings = await asyncio.to_thread(self._read) if anew else self._workshop.settings
            return await asyncio.to_thread(self._workshop.plan, settings)
        except ConfigError as error:
            await self._refuse(error)
            return None

    async def put_into_force(self, plan: Plan) -> None:
        """Nobody is at work. What cannot be opened is a mistake like any other."""
        try:
            changes = await self._workshop.change(plan)
        except (AgentError, OSError) as error:
            await self._refuse(error)
            return
        self._told, self._needs_restart = "", plan.needs_restart
        log.info(
            "reloaded",
            printers=list(self._workshop.shop.printers),
            added=changes.added,
            removed=changes.removed,
            changed=changes.changed,
            leaving=changes.leaving,
        )
        if changes.leaving:
            hint = "They are at a print: it is watched to its end, they get no other, and are let go once their bed is cleared."
            log.warning("printers_leave_later", printers=changes.leaving, hint=hint)
        if plan.needs_restart:
            log.warning("needs_restart", options=plan.needs_restart, hint="These stay as they were until the daemon is started again.")

    def status(self) -> str:
        """One line for `systemctl status`."""
        shop = self._workshop.shop
        parts = [f"{len(shop.printers)} printers, {len(shop.marketplaces)} marketplaces"]
        parts += [f"{', '.join(sorted(shop.leaving))} until its print has ended"] if shop.leaving else []
        parts += [f"needs a restart: {', '.join(self._needs_restart)}"] if self._needs_restart else []
        parts += [f"the changed configuration has mistakes, see the log: {self._told}"] if self._told else []
        return "; ".join(parts)

    async def _refuse(self, error: AgentError | OSError) -> None:
        mistakes = _mistakes(error)
        log.error("configuration_refused", mistakes=mistakes, hint=_STAYS)
        told, self._told = self._told, " | ".join(mistakes)
        systemd.ready(self.status())
        if told == self._told:
            return
        text = "\n".join([*mistakes, _STAYS, "Mend the files and reload again."])
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        title = f"The changed configuration has {count}"
        await self._workshop.shop.notifier.notify(Notice(event="configuration_refused", title=title, text=text, urgency=Urgency.ALARM))


def _mistakes(error: AgentError | OSError) -> list[str]:
    if isinstance(error, BadConfiguration):
        return [str(mistake) for mistake in error.mistakes]
    if isinstance(error, AgentError):
        return error.told().splitlines()
    return [f"{error.filename or 'A file'} cannot be used: {error.strerror}."]
