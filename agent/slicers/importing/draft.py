"""What an import has found so far: settings with the place each comes from, and what was left out, filled in, or has to be looked at."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Range = tuple[int, int]


@dataclass(frozen=True)
class Setting:
    """One value. `source`: the section, file or parent it stands in; `line`: where in that file, 0 where it has none.

    Lists of OrcaSlicer (one value a tool) stay lists.
    """

    value: str | tuple[str, ...]
    source: str
    line: int = 0

    @property
    def text(self) -> str:
        """On one line, in the way of an ini file."""
        parts = (self.value,) if isinstance(self.value, str) else self.value
        return ",".join(one_value(part) for part in parts)

    @property
    def place(self) -> str:
        return f"{self.source}, line {self.line}" if self.line else self.source


Settings = dict[str, Setting]


@dataclass(frozen=True)
class Left:
    """A setting that is not taken. `loud`: it does something, and the person has to know that it will not be done."""

    key: str
    setting: Setting
    why: str
    loud: bool = False


@dataclass(frozen=True)
class Filled:
    """A value the source does not give."""

    file: str
    key: str
    value: str
    why: str


@dataclass(frozen=True)
class Reworded:
    """A value the slicer reads in another way than it is written."""

    file: str
    key: str
    given: str
    read: str


@dataclass
class Draft:
    """A profile in the making. `filaments` by material; `nozzle_c` where the source itself says a material's range, in °C."""

    title: str
    origin: str
    slicers: tuple[str, ...]
    machine: Settings = field(default_factory=dict)
    process: Settings = field(default_factory=dict)
    filaments: dict[str, Settings] = field(default_factory=dict)
    nozzle_c: dict[str, Range] = field(default_factory=dict)
    cura: Settings = field(default_factory=dict)
    orca: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """File name without its ending, and what is written into it."""
    excluded: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Zones of the bed where nothing may be laid: x0, y0, x1, y1 in mm."""
    left: list[Left] = field(default_factory=list)
    filled: list[Filled] = field(default_factory=list)
    reworded: list[Reworded] = field(default_factory=list)
    check: list[str] = field(default_factory=list)
    """What a person has to look at before the first print."""

    def files(self) -> dict[str, Settings]:
        """Every ini file that is written, in the order in which they are laid over each other."""
        found = {"machine.ini": self.machine, "process.ini": self.process}
        found |= {f"filament-{material}.ini": settings for material, settings in self.filaments.items()}
        return found | ({"cura.ini": self.cura} if self.cura else {})

    def fill(self, file: str, key: str, value: str, why: str) -> None:
        self.files()[file][key] = Setting(value, "filled in")
        self.filled.append(Filled(file, key, value, why))


def one_value(text: str) -> str:
    """As it can stand in a line of an ini file: line breaks become `\\n`, what is no text is taken out."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode().replace("\0", "")
    return " ".join(text.strip().replace("\n", "\\n").replace("\t", " ").splitlines())


def listed(names: Iterable[str], most: int = 40) -> str:
    """For a message: one a line, no more than can be read."""
    names = list(names)
    more = [f"  … and {len(names) - most} more; a part of the name is enough"] if len(names) > most else []
    return "\n".join([*(f"  {name}" for name in names[:most]), *more])
