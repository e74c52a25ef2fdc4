"""The job the printer is at, and what it keeps of it over a loss of power."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Job:
    """Times in seconds of the wall clock. `stage`: accepted (its ids are shown, the old state still stands), prepare, run."""

    name: str
    file: str
    duration_s: float
    layers: int
    stage: str = "accepted"
    elapsed_s: float = 0.0
    paused: bool = False
    error: int = 0  # it does not come to print: the print_error it ends with
    hangs: bool = False  # it stays in prepare
    slots: list[int] | None = None  # trays by ams_id * 4 + slot; empty: the external spool; None: not said

    def kept(self) -> dict[str, Any]:
        return asdict(self)

    def remaining_s(self) -> float:
        return max(0.0, self.duration_s - self.elapsed_s)

    def progress(self) -> dict[str, Any]:
        """As the report has it: percent, layer, whole minutes left."""
        share = min(1.0, self.elapsed_s / self.duration_s) if self.duration_s else 1.0
        return {
            "mc_percent": min(99, int(share * 100)),
            "layer_num": min(self.layers, int(share * self.layers) + 1),
            "mc_remaining_time": -int(-self.remaining_s() // 60),
        }
