"""What a G-code file lays off the bed or in an excluded zone: a second look at it, for beds that are no plain rectangle."""

import json
import sys
from pathlib import Path

from agent.slicers.bed import Area, Bed
from agent.slicers.gcode import Reader, read_facts

_MOST_KEPT = 20


def read_strays(gcode: Path, bed: Bed) -> list[str]:
    """Where lines leave what is free of the bed, as `x, y` of their ends; the first few."""
    reader = _StrayReader(bed)
    read_facts(gcode, reader)
    return reader.strays


class _StrayReader(Reader):
    def __init__(self, bed: Bed) -> None:
        super().__init__()
        self.bed = bed
        self.strays: list[str] = []

    def move(self, x: bytes | None, y: bytes | None, z: bytes | None, e: bytes | None) -> None:
        before, (from_x, from_y, _) = self.laid, self.at
        super().move(x, y, z, e)
        to_x, to_y, _ = self.at
        if self.laid > before and len(self.strays) < _MOST_KEPT and not self.bed.keeps(((from_x, from_y), (to_x, to_y))):
            self.strays.append(f"{to_x:.1f}, {to_y:.1f}")


def main() -> None:
    """For large files in a process of its own: the G-code's path, that of the bed's corners and zones as JSON, and where to write to."""
    gcode, told, to = map(Path, sys.argv[1:4])
    bed = json.loads(told.read_text())
    corners, excluded = ((tuple(corner) for corner in bed["corners"]), (Area(*zone) for zone in bed["excluded"]))
    to.write_text(json.dumps(read_strays(gcode, Bed(tuple(corners), tuple(excluded)))))


if __name__ == "__main__":
    main()
