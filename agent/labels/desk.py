"""`ports.labels.Labels`: the checks, and the printer where there is one."""

from pathlib import Path

from agent.domain.errors import Refused
from agent.domain.label import LabelCheck, LabelPrint, LabelVerdict
from agent.domain.offer import Shipping
from agent.labels.checks import check_label
from agent.labels.printing import LabelDesk


class CarrierLabels:
    """`desk`: None where there is no printer. `by_itself`: what is certain to be the parcel's is printed before a person says so."""

    def __init__(self, desk: LabelDesk | None = None, *, by_itself: bool = True) -> None:
        self._desk, self._by_itself = desk, by_itself

    async def check(self, label: Path, shipping: Shipping | None) -> LabelCheck:
        return await check_label(label, shipping)

    @property
    def prints(self) -> bool:
        return self._desk is not None

    async def print(
        self, order_id: str, label: Path, sha256: str, check: LabelCheck, *, again: bool = False, anyway: bool = False
    ) -> LabelPrint:
        if self._desk is None:
            hint = "Set [labels] printer, or print the file by hand."
            raise Refused("No label printer is configured.", hint=hint, code="no_label_printer")
        return await self._desk.print(order_id, label, sha256, check, again=again, anyway=anyway)

    async def print_by_itself(self, order_id: str, label: Path, sha256: str, check: LabelCheck) -> LabelPrint | None:
        if self._desk is None or not self._by_itself or check.verdict is not LabelVerdict.GOOD:
            return None
        return await self._desk.print(order_id, label, sha256, check)
