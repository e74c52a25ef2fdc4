"""`ports.labels.Labels`: the checks, and the printer where there is one."""

from pathlib import Path

from agent.domain.label import LabelCheck, LabelPrint, LabelVerdict
from agent.domain.offer import Shipping
from agent.labels.checks import check_label
from agent.labels.printing import LabelDesk


class CarrierLabels:
    """`desk`: None where nothing is to be printed before a person says so."""

    def __init__(self, desk: LabelDesk | None = None) -> None:
        self._desk = desk

    async def check(self, label: Path, shipping: Shipping | None) -> LabelCheck:
        return await check_label(label, shipping)

    async def print_by_itself(self, order_id: str, label: Path, sha256: str, check: LabelCheck) -> LabelPrint | None:
        if self._desk is None or check.verdict is not LabelVerdict.GOOD:
            return None
        return await self._desk.print(order_id, label, sha256, check)
