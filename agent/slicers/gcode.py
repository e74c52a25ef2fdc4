"""What a G-code file says it does, found in one pass with flat memory.

Dialects: PrusaSlicer's comments (`;TYPE:`, `;LAYER_CHANGE`, `; printing object NAME id:N copy M`, the footer and the configuration
block at the end); CuraEngine's (`;LAYER:`, `;TYPE:FILL`, `;MESH:NAME`, `;TIME:`); and those of OrcaSlicer and Bambu Studio, which are
PrusaSlicer's with other words: dialects.py. Over what Marlin, Prusa's firmware and Klipper take as a
command: small letters, `G1X10`, line numbers, checksums.
Absolute and relative axes and extrusion, G92 and M82/M83 are followed. Arcs are not: their count is told, for the proof to refuse.

Nine lines of ten say `G1 X… Y… E…` and nothing else, many in a row. Such a run is taken at once (`run`), a few times faster than its lines
one by one (`line`) and with the same outcome; whatever is not plainly so takes the longer road.
"""

import json
import re
import sys
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from agent.slicers.bed import Bed, Point, bed_from
from agent.slicers.dialects import FEATURES, NOT_THE_PART, NUMBERED
from agent.slicers.gcode_facts import Box, GcodeFacts, empty
from agent.slicers.layer_steps import LayerSteps
from agent.slicers.plain_runs import SHAPE, read_run, shapes

_NUMBER = rb"([-+]?(?:\d+\.?\d*|\.\d+))"
_PLAIN_MOVE = re.compile(
    rb"G[01](?: F\d+)?(?: X(-?\d*\.?\d+))?(?: Y(-?\d*\.?\d+))?(?: Z(-?\d*\.?\d+))?(?: E(-?\d*\.?\d+))?(?: F\d+)?[ \t]*(?:;.*)?"
).fullmatch
"""As slicers write nearly all of the other moves."""
_NUMBERED = re.compile(rb"N\s*\d+\s*")
_CODE = re.compile(rb"([GMT])\s*(\d{1,6})(?!\d)((?:\.\d{1,3})?)")
_MACRO = re.compile(rb"[A-Z_]{2}[A-Z0-9_]{0,60}(?=\s|$)")
_MOVE_WORD = re.compile(rb"\s*([XYZEF])\s*" + _NUMBER)
_VALUE = re.compile(rb"([A-Z])\s*" + _NUMBER)
_OBJECT = re.compile(rb"; printing object (\S+?)(?:\.\w+)? id:(\d+) copy (\d+)")
_FILAMENT_USED = re.compile(rb"; (?:filament used|total filament (?:length|weight)) \[(mm|g|cm3)\] ?[=:] (.+)")
_PRINT_TIME = re.compile(rb"; (?:estimated printing time \(normal mode\) = |model printing time: [^;]*; total estimated time: )(.+)")
_CURA_OBJECT = re.compile(rb"(.+)\.(\d+)\.stl")
_METRES = re.compile(rb"(\d+(?:\.\d+)?)m")
_END = re.compile(
    rb"^(?:; prusaslicer_config = end|; CONFIG_BLOCK_END|; EXECUTABLE_BLOCK_END|;End of Gcode)\r?\n(?:; (?:filament|total) .*\n|\s)*\Z",
    re.MULTILINE,
)
_TIME = re.compile(r"(\d{1,9})([dhms])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_FILAMENT = {"mm": "filament_mm", "g": "filament_g", "cm3": "filament_cm3"}
_MOVES, _ARCS = ("G0", "G1"), ("G2", "G3")
_FREE_TEXT = ("M117", "M118", "M624", "M1002")
"""What follows is no words of a command: a message, the objects that are printed in base64, the name of a step."""
_T_IS_A_VALUE = ("M204", "M205")
"""An acceleration or a feed rate for travels, and no tool; PrusaSlicer writes both where machine_limits_usage = emit_to_gcode."""
_NOZZLE, _BED = ("M104", "M109"), ("M140", "M190")
_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 16
_MOST_KEPT = 100
_MOST_STRAYS = 20
_SHORT_RUN = 4
"""Lines. Fewer are quicker one by one."""

_T = TypeVar("_T")


def read_facts(path: Path, bed: Bed | None = None) -> GcodeFacts:
    """One pass over the file. Never raises for what the file holds: what is not understood is told.

    `bed`: what is laid off its free part is told as well; a plain rectangle needs no such look, the bounds tell it.
    """
    reader, tail = Reader(bed), b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            chunk += file.readline(_LONGEST_LINE)
            reader.lines(chunk)
            tail = (tail + chunk)[-_LONGEST_LINE:]
    reader.whole = _END.search(tail) is not None
    return reader.finished()


class Reader:
    """The machine's state while the file goes by. `at` is where the nozzle is, `zero` where the machine takes 0 to be after a G92."""

    def __init__(self, bed: Bed | None = None) -> None:
        self.bed = bed
        self.facts = GcodeFacts(strays=None if bed is None else [])
        self.at = [0.0, 0.0, 0.0]
        self.zero = [0.0, 0.0, 0.0]
        self.e = 0.0
        self.relative_e = self.relative = self.started = self.whole = False
        self.feature = self.label = ""
        self.laid = self.laid_z = 0.0
        self.boxes: dict[tuple[str, str], Box] = {("", ""): empty()}
        self.box = self.boxes["", ""]
        self.nozzle_c = self.bed_c = 0.0
        self.steps = LayerSteps()
        self.in_config = False

    def lines(self, chunk: bytes) -> None:
        """Whole lines, however they end."""
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines, begin = chunk.split(b"\n"), 0
        for shape, alike in groupby(shapes(chunk)):
            end = begin + len(list(alike))
            if shape != SHAPE or end - begin < _SHORT_RUN or not self.run(lines[begin:end]):
                for line in lines[begin:end]:
                    self.line(line)
            begin = end

    def run(self, lines: list[bytes]) -> bool:
        """Lines of the plain shape, at once. False, and nothing done, where one of them might not be what it looks like or lays nothing."""
        if self.relative or not self.started or any(self.zero):
            return False
        run = read_run(lines, (self.at[0], self.at[1]), None if self.relative_e else self.e)
        if run is None or (self.bed is not None and not self.bed.plainly_holds(run.around)):
            return False
        z = self.laid_z = self.at[2]
        self.at = [*run.end, z]
        if not self.relative_e:
            self.e = run.last_e
        self.facts.net_mm = sum(run.pushed, self.facts.net_mm)
        self.laid = sum(run.pushed, self.laid)
        _widen(self.box, run.around.x0, run.around.y0, z)
        _widen(self.box, run.around.x1, run.around.y1, z)
        return True

    def line(self, line: bytes) -> None:
        if found := _PLAIN_MOVE(line):
            self.move(*found.groups())
        elif line.startswith(b";"):
            self.comment(line)
        elif line:
            self.other(line)

    def move(self, x: bytes | None, y: bytes | None, z: bytes | None, e: bytes | None) -> None:
        at = self.at
        from_x, from_y, to_z = at
        base = at if self.relative else self.zero
        to_x = from_x if x is None else float(x) + base[0]
        to_y = from_y if y is None else float(y) + base[1]
        if z is not None:
            to_z = float(z) + base[2]
        self.at = [to_x, to_y, to_z]
        if e is not None:
            pushed = self.pushed(float(e))
            if pushed > 0 and self.started and (to_x != from_x or to_y != from_y):
                self.laid += pushed
                self.laid_z = to_z
                box = self.box
                if from_x < box[0] or from_x > box[3] or from_y < box[1] or from_y > box[4]:
                    _widen(box, from_x, from_y, to_z)
                if to_x < box[0] or to_x > box[3] or to_y < box[1] or to_y > box[4] or to_z > box[5] or to_z < box[2]:
                    _widen(box, to_x, to_y, to_z)
                if self.bed is not None:
                    self.look_for_stray(self.bed, (from_x, from_y), (to_x, to_y))

    def look_for_stray(self, bed: Bed, begin: Point, end: Point) -> None:
        strays = self.facts.strays
        if strays is not None and len(strays) < _MOST_STRAYS and not bed.keeps((begin, end)):
            strays.append(f"{end[0]:.1f}, {end[1]:.1f}")

    def pushed(self, e: float) -> float:
        """How much filament an E moves; less than 0 where it is pulled back."""
        if not (self.relative_e or self.relative):
            e, self.e = e - self.e, e
        if self.started:
            self.facts.net_mm += e
        else:
            self.facts.before_mm += e
        return e

    # --- comments -----------------------------------------------------------------------------------------------------
    def comment(self, line: bytes) -> None:
        for mark, read in _MARKS:
            if line.startswith(mark):
                read(self, line[len(mark) :])
                return
        if self.in_config:
            self.config_line(line.decode(errors="replace"))
        elif found := _OBJECT.match(line):
            self.now_laying(self.feature, b" ".join(found.groups()).decode(errors="replace"))
        elif found := _FILAMENT_USED.match(line):
            self.filament_used(found[1].decode(), found[2].decode(errors="replace"))
        elif found := _PRINT_TIME.match(line):
            times = _TIME.findall(found[1].decode(errors="replace"))
            self.facts.seconds = sum(int(number) * _SECONDS[unit] for number, unit in times[:4])

    def begins_feature(self, words: bytes) -> None:
        name = words.decode(errors="replace").strip()
        self.now_laying(FEATURES.get(name, name), self.label)

    def begins_layer(self, _rest: bytes) -> None:
        self.layer()

    def begins_mesh(self, words: bytes) -> None:
        """CuraEngine names the file a copy was read from: NAME.COPY.stl, as we called it."""
        found = _CURA_OBJECT.fullmatch(words.strip())
        self.now_laying(self.feature, f"{found[1].decode(errors='replace')} {found[2].decode()}" if found else "")

    def ends_object(self, _rest: bytes) -> None:
        self.now_laying(self.feature, "")

    def begins_number(self, words: bytes) -> None:
        """Bambu Studio numbers the copies and names none; where OrcaSlicer does, the name came before, and it counts."""
        if not self.label or self.label.startswith(NUMBERED):
            self.now_laying(self.feature, NUMBERED + words.decode(errors="replace").strip())

    def ends_number(self, _rest: bytes) -> None:
        if self.label.startswith(NUMBERED):
            self.now_laying(self.feature, "")

    def opens_config(self, rest: bytes) -> None:
        self.in_config = rest.strip() in (b"begin", b"")

    def closes_config(self, _rest: bytes) -> None:
        self.in_config = False

    def cura_seconds(self, words: bytes) -> None:
        if not self.started and words.strip().isdigit():
            self.facts.seconds = int(words)

    def cura_filament(self, words: bytes) -> None:
        if not self.started and (found := _METRES.fullmatch(words.strip())):
            self.facts.filament_mm = float(found[1]) * 1000

    def now_laying(self, feature: str, label: str) -> None:
        self.close()
        self.feature, self.label = feature, label
        key = ("", "") if feature in NOT_THE_PART or not label else (label.split(" ")[0], label)
        self.box = self.boxes.setdefault(key, empty())

    def close(self) -> None:
        """Book what was laid since the feature, the copy, the layer or the temperature changed."""
        if not self.laid:
            return
        facts = self.facts
        facts.laid_mm[self.feature] = facts.laid_mm.get(self.feature, 0.0) + self.laid
        for seen, value in ((facts.laid_at_nozzle_c, self.nozzle_c), (facts.laid_at_bed_c, self.bed_c)):
            _keep(value, seen)
        self.steps.laid(self.laid_z, self.laid, of_part=self.box is not self.boxes["", ""])
        self.laid = 0.0

    def layer(self) -> None:
        self.close()
        self.started = True
        self.facts.layers += 1
        self.steps.layer_ends()

    def config_line(self, line: str) -> None:
        key, sign, value = line[1:].partition("=")
        if sign:
            self.facts.config[key.strip()] = value.strip()

    def filament_used(self, unit: str, value: str) -> None:
        try:
            number = sum(float(part) for part in value.split(","))
        except ValueError:
            return
        setattr(self.facts, _FILAMENT[unit], number)

    # --- commands -----------------------------------------------------------------------------------------------------
    def other(self, line: bytes) -> None:
        """A command however it is written. Two in one line are told: some firmwares obey both, and this reader follows the first."""
        text = line.partition(b";")[0].partition(b"*")[0].strip().upper()
        if numbered := _NUMBERED.match(text):
            text = text[numbered.end() :]
        if found := _CODE.match(text):
            code, rest = _plain(found), text[found.end() :]
            found_in_rest = [] if code in _FREE_TEXT else map(_plain, _CODE.finditer(rest))
            others = [other for other in found_in_rest if other[0] != "T" or code not in _T_IS_A_VALUE]
            if any(other[0] in "GM" for other in others):
                self.not_understood(line)
            for each in (code, *others):
                self.count(each)
            self.command(code, text, rest)
        elif macro := _MACRO.match(text):
            self.count(macro[0].decode())
        elif text:
            self.not_understood(line)
        elif line.lstrip().startswith(b";"):
            self.comment(line.lstrip())

    def command(self, code: str, text: bytes, rest: bytes) -> None:
        values = {letter.decode(): float(number) for letter, number in _VALUE.findall(rest)}
        if code in _MOVES or code in _ARCS:
            self.written_otherwise(code, text, rest)
        elif code in _NOZZLE or code in _BED:
            self.temperature(code, values)
        elif code in ("M82", "M83"):
            self.relative_e = code == "M83"
        elif code in ("G90", "G91"):
            self.relative = code == "G91"
        elif code in ("G92", "G28"):
            self.here_is(code, values)

    def written_otherwise(self, code: str, text: bytes, rest: bytes) -> None:
        """A move in any other way of writing. Arcs move to their end; only what no move has is not understood."""
        words: dict[bytes, bytes] = dict(_MOVE_WORD.findall(rest))
        if code in _MOVES and _MOVE_WORD.sub(b"", rest).strip():
            self.not_understood(text)
        self.move(words.get(b"X"), words.get(b"Y"), words.get(b"Z"), words.get(b"E"))

    def not_understood(self, line: bytes) -> None:
        _keep(line[:80].decode(errors="replace"), self.facts.not_understood)

    def count(self, code: str) -> None:
        if code in _MOVES or (code in _ARCS and not self.started):
            return
        self.facts.commands[code] = self.facts.commands.get(code, 0) + 1

    def temperature(self, code: str, values: dict[str, float]) -> None:
        value = values.get("S", values.get("R"))
        if value is None:
            return
        self.close()
        if code in _NOZZLE:
            self.nozzle_c = value
            _keep(value, self.facts.nozzle_c)
        else:
            self.bed_c = value
            _keep(value, self.facts.bed_c)

    def here_is(self, code: str, values: dict[str, float]) -> None:
        """G92 names the place it is at; G28 goes to 0 and forgets such names."""
        if code == "G92" and ("E" in values or not values):
            self.e = values.get("E", 0.0)
        for axis, letter in enumerate("XYZ"):
            if code == "G28":
                self.at[axis] = self.zero[axis] = 0.0
            elif letter in values or not values:
                self.zero[axis] = self.at[axis] - values.get(letter, 0.0)

    # --- the end ------------------------------------------------------------------------------------------------------
    def finished(self) -> GcodeFacts:
        self.close()
        self.steps.layer_ends()
        facts, steps = self.facts, self.steps
        for (name, _), box in self.boxes.items():
            if box[0] > box[3]:
                continue
            if name:
                facts.bodies.setdefault(name, []).append(box)
            facts.bounds = [*map(min, facts.bounds[:3], box[:3]), *map(max, facts.bounds[3:], box[3:])]
        facts.layer_mm, facts.first_mm, facts.widest_step_mm = steps.most_often(), steps.first_mm, steps.widest_mm
        facts.whole = self.whole
        if not self.whole:
            facts.config = {}
        return facts


_MARKS = (
    (b";TYPE:", Reader.begins_feature),
    (b";LAYER_CHANGE", Reader.begins_layer),
    (b"; start printing object, unique label id:", Reader.begins_number),
    (b"; stop printing object, unique label id:", Reader.ends_number),
    (b"; stop printing object", Reader.ends_object),
    (b"; prusaslicer_config =", Reader.opens_config),
    # CuraEngine
    (b";MESH:", Reader.begins_mesh),
    (b";LAYER:", Reader.begins_layer),
    (b";TIME:", Reader.cura_seconds),
    (b";Filament used:", Reader.cura_filament),
    # OrcaSlicer, Bambu Studio
    (b"; FEATURE: ", Reader.begins_feature),
    (b"; CHANGE_LAYER", Reader.begins_layer),
    (b"; CONFIG_BLOCK_START", Reader.opens_config),
    (b"; CONFIG_BLOCK_END", Reader.closes_config),
)


def _plain(found: re.Match[bytes]) -> str:
    return f"{found[1].decode()}{int(found[2])}{found[3].decode()}"


def _widen(box: Box, x: float, y: float, z: float) -> None:
    box[0], box[3] = min(box[0], x), max(box[3], x)
    box[1], box[4] = min(box[1], y), max(box[4], y)
    box[2], box[5] = min(box[2], z), max(box[5], z)


def _keep(value: _T, kept: list[_T]) -> None:
    if value not in kept and len(kept) < _MOST_KEPT:
        kept.append(value)


def main() -> None:
    """For large files in a process of its own: the paths of the G-code, the facts to be written, and the bed where it is looked at."""
    gcode, to, *bed = map(Path, sys.argv[1:])
    to.write_text(json.dumps(asdict(read_facts(gcode, bed_from(bed[0].read_text()) if bed else None))))


if __name__ == "__main__":
    main()
