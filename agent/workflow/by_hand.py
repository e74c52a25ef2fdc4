"""What a person switched by hand and the agent keeps to, also after a restart: whether offers come, and who answers them."""

import secrets
from pathlib import Path

import structlog

from agent.domain.account import Presence, Status
from agent.domain.errors import AgentError, NeedsOperator
from agent.ports.marketplace import Switchable
from agent.workflow.acceptance import Mode
from agent.workflow.shop import Shop

log = structlog.get_logger()


class AskFirst:
    """Whether a person is to be asked about every offer, whatever the configuration says. A file of its own: while it is there, they are.

    Nobody can make the agent bolder with it than the configuration is.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def is_on(self) -> bool:
        return self._file.exists()

    def turn(self, on: bool) -> None:
        """NeedsOperator where it cannot be kept."""
        try:
            if on:
                self._file.touch(mode=0o600)
            else:
                self._file.unlink(missing_ok=True)
        except OSError as error:
            hint = "Is the disk full, or data_dir not the agent's?"
            raise NeedsOperator(f"{self._file} cannot be written: {error.strerror}.", hint=hint, code="disk_full") from error


class HandSwitches:
    """Implements ports.remote.Switches over a shop."""

    def __init__(self, shop: Shop, ask_first: AskFirst, by: str) -> None:
        self._shop = shop
        self._ask_first = ask_first
        self._by = by

    async def set_online(self, online: bool) -> None:
        """As `intagly-agent online` and `offline` do, so the agent takes it for a person's own switch."""
        status = Status(state=Presence.ONLINE) if online else Status(state=Presence.OFFLINE, reason=f"switched off by {self._by}")
        failed: AgentError | None = None
        for name, market in self._shop.marketplaces.items():
            if not isinstance(market, Switchable):
                continue
            try:
                await market.set_status(status, secrets.token_hex(16))
                log.info("status_set", marketplace=name, state=status.state, by=self._by)
            except AgentError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def set_auto_accept(self, auto: bool) -> None:
        self._ask_first.turn(not auto)
        log.warning("auto_accept", on=auto, by=self._by)

    @property
    def auto_accept(self) -> bool | None:
        return None if self._shop.policy.mode is not Mode.AUTO else not self._ask_first.is_on()
