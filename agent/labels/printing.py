"""Printing a label once. The intent is on disk before anything is sent; what became of it is looked up in the queue, by the job's name.

A job that the queue knows is followed, never sent again. One that was perhaps sent, and that the queue knows nothing of, is a person's to
judge: they look at the printer, and say `again`.
"""

from pathlib import Path

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.domain.intent import Act, Intent
from agent.domain.label import LabelCheck, LabelPrint, LabelVerdict, PrintEnd
from agent.labels.media import CHOICES, Size, named, sides_of, upright
from agent.labels.queue import NotSent, Queue
from agent.ports.ledger import Ledger

AS_LABEL = "label"
PATIENCE_S = 60.0
_PDF = "application/pdf"
_MOST_PRINTS = 100


class LabelDesk:
    """One queue with what is in its tray. `media`: "label" for the label's own size, or one of `media.CHOICES`; `fit`: scaled to it."""

    def __init__(self, queue: Queue, ledger: Ledger, media: str = AS_LABEL, *, fit: bool = False, patience_s: float = PATIENCE_S) -> None:
        self._queue, self._ledger = queue, ledger
        self._media, self._fit = media, fit
        self._patience_s = patience_s

    async def print(
        self, order_id: str, label: Path, sha256: str, check: LabelCheck, *, again: bool = False, anyway: bool = False
    ) -> LabelPrint:
        """Print it, or tell how its print of before stands. `again`: it is wanted once more. `anyway`: a person has looked at it.

        Refused: it is not to be printed, or cannot be. NeedsOperator (code perhaps_printed): look at the printer first. Transient: later.
        """
        _must_be_printable(check, anyway=anyway)
        for n in range(1, _MOST_PRINTS):
            intent, fresh = self._ledger.intent(order_id, Act.PRINT_LABEL, f"{sha256[:16]}#{n}")
            if fresh:
                return await self._send(intent, label, check)
            if intent.outcome is None and (told := await self._told_of_before(intent, again=again)) is not None:
                return told
            if intent.outcome is not None and intent.outcome.get("end") == PrintEnd.COMPLETED and not again:
                return LabelPrint.model_validate({**intent.outcome, "again": True})
        raise Refused(f"The label of {order_id} was printed {_MOST_PRINTS} times.", hint="Print it by hand.", code="printed_often")

    async def _told_of_before(self, intent: Intent, *, again: bool) -> LabelPrint | None:
        """How an earlier request ended or stands; None where a person has looked and wants it anew."""
        job = await self._queue.find(job_name(intent))
        if job is not None:
            told = await self._followed(intent, job)
            return None if again and told.end is not PrintEnd.WAITING else told.model_copy(update={"again": True})
        if again:
            self._ledger.settle(intent, {"end": "unknown", "why": "a person looked, and wanted it printed again"})
            return None
        raise self._perhaps_printed(intent)

    async def _send(self, intent: Intent, label: Path, check: LabelCheck) -> LabelPrint:
        try:
            media = await self._paper(check)
        except (Refused, NeedsOperator, Transient) as not_sent:
            self._not_sent(intent, not_sent)
            raise
        try:
            job = await self._queue.print(label, job_name(intent), media, fit=self._fit)
        except (Refused, NeedsOperator, NotSent) as not_sent:
            self._not_sent(intent, not_sent)
            raise
        except Transient as lost:
            found = await self._queue.find(job_name(intent))
            if found is None:
                raise self._perhaps_printed(intent) from lost
            job = found
        return await self._followed(intent, job)

    def _not_sent(self, intent: Intent, why: AgentError) -> None:
        self._ledger.settle(intent, {"end": "not sent", "why": str(why)})

    async def _followed(self, intent: Intent, job: int) -> LabelPrint:
        """While it waits in the queue the intent stays open: it is looked at again with the next request."""
        told = await self._queue.follow(job, self._patience_s)
        if told.end is not PrintEnd.WAITING:
            self._ledger.settle(intent, told.model_dump(mode="json"))
        self._ledger.record(intent.order_id, "label_sent_to_printer", told.model_dump(mode="json"))
        return told

    async def _paper(self, check: LabelCheck) -> str:
        """The paper by this printer's name for it. Refused where the label would be cut off, and where the printer has no such paper."""
        page = upright(check.width_mm, check.height_mm)
        paper = page if self._media == AS_LABEL else Size(*sides_of(CHOICES[self._media]))
        facts = await self._queue.facts()
        if facts.formats and _PDF not in facts.formats:
            hint = "Print through a queue of CUPS that has a driver for it."
            raise Refused(f"{self._queue.uri} takes no PDF.", hint=hint, code="takes_no_pdf")
        if not self._fit and not paper.holds(page):
            raise Refused(
                f"The label of {page.width:g} × {page.height:g} mm would be cut off on {self._media}.",
                hint='Set [labels] media to a larger paper, or scaling = "fit".',
                code="label_too_large",
            )
        media = named(paper, facts.media)
        if media is None:
            has = ", ".join(facts.media[:12])
            raise Refused(
                f"{self._queue.uri} has no paper of {paper.width:g} × {paper.height:g} mm.",
                hint=f"It has {has}. Set [labels] media to one of them, or another printer.",
                code="no_such_media",
            )
        return media

    def _perhaps_printed(self, intent: Intent) -> NeedsOperator:
        return NeedsOperator(
            f"The label of {intent.order_id} was perhaps printed already, and {self._queue.uri} knows nothing of it.",
            hint=f"Look at the printer. If it is not there: intagly-agent label {intent.order_id} --print --again",
            code="perhaps_printed",
        )


def job_name(intent: Intent) -> str:
    """What the job is called in the queue: unique for ever."""
    return f"label {intent.order_id} {intent.key[:12]}"


def _must_be_printable(check: LabelCheck, *, anyway: bool) -> None:
    why = " ".join(reason.text for reason in check.reasons)
    if check.verdict is LabelVerdict.REFUSED:
        raise Refused(f"This label is not printed. {why}", hint="Open it where you trust it, and print it by hand.", code="label_refused")
    if check.verdict is LabelVerdict.LOOK and not anyway:
        raise Refused(f"Look at this label first. {why}", hint="If it is the right one, print it with --anyway.", code="label_doubtful")
