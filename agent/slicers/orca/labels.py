"""Names for copies that have but a number in the G-code.

For printers of its own make Bambu Studio writes `; start printing object, unique label id: 81` around what it lays of a copy, and nowhere
whose number that is (its result.json numbers objects otherwise). So each number is given the name of the copy that was placed where it is
laid. Nothing is taken for granted by that: the proof then looks for every copy in its place, in its size.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.slicers.dialects import NUMBERED
from agent.slicers.gcode import read_facts
from agent.slicers.gcode_facts import Box, GcodeFacts
from agent.slicers.placed import Placed, object_name

_START = b"; start printing object, unique label id:"
_STOP = b"; stop printing object, unique label id:"


def name_copies(gcode: Path, placed: Sequence[Placed]) -> None:
    """Writes the names into the file, as OrcaSlicer does; nothing is done where there are no mere numbers."""
    names = _names(read_facts(gcode), placed)
    if not names:
        return
    named = gcode.with_suffix(".named")
    with gcode.open("rb") as source, named.open("wb") as target:
        for line in source:
            target.write(_named(line, names) + line)
    named.replace(gcode)


def _names(facts: GcodeFacts, placed: Sequence[Placed]) -> dict[bytes, str]:
    """By number. Of the copies that are left, each takes the one nearest to the middle of what is laid."""
    left, names = list(placed), {}
    for number, box in sorted(_numbered(facts)):
        if not left:
            break
        nearest = min(left, key=lambda copy: math.dist((copy.x_mm, copy.y_mm), _middle(box)))
        left.remove(nearest)
        names[number.encode()] = f"{object_name(nearest.item_id)} id:{number} copy 0"
    return names


def _numbered(facts: GcodeFacts) -> Iterator[tuple[str, Box]]:
    for name, boxes in facts.bodies.items():
        number = name.removeprefix(NUMBERED)
        if name.startswith(NUMBERED) and number.isdigit() and len(boxes) == 1:
            yield number, boxes[0]


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[3]) / 2, (box[1] + box[4]) / 2


def _named(line: bytes, names: dict[bytes, str]) -> bytes:
    """What stands before the line."""
    for mark, begin in ((_START, "; printing object"), (_STOP, "; stop printing object")):
        if line.startswith(mark) and (name := names.get(line[len(mark) :].strip())):
            return f"{begin} {name}\n".encode()
    return b""


def main() -> None:
    """For large files in a process of its own: the G-code's path, and the one of the placed copies as JSON."""
    gcode, placed = map(Path, sys.argv[1:3])
    name_copies(gcode, [Placed(**copy) for copy in json.loads(placed.read_text())])


if __name__ == "__main__":
    main()
