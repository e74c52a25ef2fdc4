"""Acts of somebody who is not at the page: the same door, the same checks, under a name that says where they came from."""

from agent.domain.values import one_line
from agent.operator import acts
from agent.operator.answers import bed_mark
from agent.operator.desk import Desk
from agent.ports.ledger import Bed
from agent.ports.notifier import Notice


class RemoteActs:
    """Implements ports.remote.Acts. `by`: what stands in the history; never a person's name."""

    def __init__(self, desk: Desk, by: str) -> None:
        self._desk = desk
        self._by = by

    def answer(self, question_id: int, choice: str) -> None:
        acts.answer(self._desk, self._by, question_id, choice)

    def clear_bed(self, printer: str, mark: str) -> None:
        acts.clear_bed(self._desk, self._by, printer, mark)

    def bed_mark(self, bed: Bed | None) -> str:
        return bed_mark(bed)

    async def control(self, printer: str, act: str, job_name: str) -> None:
        await acts.ask_printer(self._desk, self._by, printer, act, job_name)

    async def tell(self, text: str) -> None:
        await self._desk.notifier.notify(Notice(event="message", title=f"Message from {self._by}", text=one_line(text)))
