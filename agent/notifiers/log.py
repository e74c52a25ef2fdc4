"""Telling the operator through the log: always there, needs nothing."""

import logging

import structlog

from agent.notifiers.picture import Picture
from agent.ports.notifier import Notice, Urgency

_LEVEL = {Urgency.INFO: logging.INFO, Urgency.ACT: logging.WARNING, Urgency.ALARM: logging.ERROR}
_log = structlog.get_logger()


class LogChannel:
    """Every notice becomes a log line `notice`, its level by urgency. Of a picture it tells the sha256."""

    name = "log"
    takes_pictures = False

    async def send(self, notice: Notice, picture: Picture | None = None) -> None:  # noqa: ARG002 (every channel's)
        level = _LEVEL[notice.urgency]
        _log.log(
            level,
            "notice",
            about=notice.event,
            title=notice.title,
            text=notice.text,
            urgency=notice.urgency.value,
            order_id=notice.order_id,
            **({"picture": notice.picture} if notice.picture else {}),
        )

    async def aclose(self) -> None:
        """Nothing is open."""
