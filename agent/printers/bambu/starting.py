"""The conversation of one start: sent once, then read until the printer names the job, says no, or says nothing.

An echo with result "success" means that the message could be read, and no more (P1S; read). So this waits until the new job is seen at
work, which may take minutes in which the printer still shows the end of the job before it.
"""

import time
from dataclasses import dataclass

from agent.domain.errors import AgentError, Refused, Transient
from agent.printers.bambu import codes
from agent.printers.bambu.commands import Command
from agent.printers.bambu.conversation import Conversation, words
from agent.printers.bambu.report import AT_WORK, Message, Report

TAKES_S = 240.0
"""50 to 210 s were told (read)."""
STANDING_S = 15.0
"""What stood there before already (the message, or the wish for signatures) counts only when this long nothing came of the start."""


@dataclass
class Start:
    """One start of one job. `report` as it was before."""

    talk: Conversation
    name: str
    job_id: int
    error_before: str
    hms_before: frozenset[str]

    async def run(self, command: Command) -> None:
        """Refused: it said no. Transient: it is not known. Returning: it is at work, or the time is up."""
        talk, connection = self.talk, self.talk.connection
        if not talk.here:
            raise not_sent(talk.why_away())
        echo = talk.listen_for(command)
        try:
            # Quality 0: at most once is what a start must be. A broker's receipt would say less than the echo does, and on a P1S
            # it fails after a number of commands (read).
            await talk.send(command, qos=0)
            sent_at = time.monotonic()
            while (left_s := sent_at + TAKES_S - time.monotonic()) > 0:
                if talk.connection != connection or not talk.here:
                    raise Transient("The connection was lost while the print began.", hint="Is the printer still on?", code="lost")
                answer = echo.result() if echo.done() and echo.exception() is None else None
                if self._settled(talk.report, answer, time.monotonic() - sent_at):
                    return
                await talk.news(min(left_s, 1.0))
        finally:
            talk.forget(command)

    def _settled(self, report: Report, answer: Message | None, age_s: float) -> bool:
        if self._is_shown(report) and report.state in AT_WORK:
            return True
        if answer is not None and (refused := refusal(answer)) is not None:
            raise refused
        if self._developer_mode_is_off(report, answer, age_s):
            raise no_developer_mode()
        self.error_before = self.error_before if report.error else ""
        if report.error and report.error != self.error_before and report.error not in codes.CANCELLED:
            raise Refused(f"The printer says: {codes.told(report.error)}.", hint=_hint(report.error), code=report.error)
        return False

    def _is_shown(self, report: Report) -> bool:
        return (report.name, report.job_id) == (self.name, str(self.job_id))

    def _developer_mode_is_off(self, report: Report, answer: Message | None, age_s: float) -> bool:
        if self._is_shown(report):
            return False
        if codes.HMS_DEVELOPER_MODE in report.hms - self.hms_before:
            return True
        taken = answer is not None and str(answer.get("result")).casefold() == "success"
        standing = codes.HMS_DEVELOPER_MODE in report.hms or report.wants_signatures is True
        return standing and not taken and age_s > STANDING_S


def refusal(answer: Message) -> Refused | None:
    """What an echo says no by; None where it does not."""
    result, number = str(answer.get("result", "")).casefold(), answer.get("err_code")
    code = codes.code_of(number) if isinstance(number, int) and not isinstance(number, bool) else ""
    if result in ("", "success") and code not in codes.DEVELOPER_MODE:
        return None
    reason = words(answer.get("reason") or "no reason given")
    if code in codes.DEVELOPER_MODE or "verify failed" in reason.casefold():
        return no_developer_mode()
    return Refused(f"The printer says no: {codes.told(code) if code else reason}.", hint=_hint(code), code=code or "refused")


def no_developer_mode() -> Refused:
    text = "The printer takes no orders over the network: Developer Mode is off."
    return Refused(text, hint=codes.DEVELOPER_MODE_HINT, code="developer_mode")


def not_sent(why: AgentError) -> Refused:
    """For what was certainly not sent: nothing can come of it later."""
    return Refused(f"Nothing was sent: {why}", hint=why.hint, code=why.code)


def _hint(code: str) -> str:
    match code:
        case "05004002":
            return "Another url_form in the printer's file may be right: file:///sdcard/{file} is what many firmwares take."
        case "0500C010" | "05004003":
            return "Is the memory card in, and healthy? Another url_form in the printer's file may be right."
    return "Look at the printer's screen."
