"""PrusaSlicer's files: bundles of presets (its vendors' and a user's), flat configurations, and the settings at the end of a G-code.

A bundle has sections `[kind:name]`. `inherits` names parents, split at `;`; own keys win, and names in asterisks are parents only.
A user's own bundle names parents that it does not hold, and its presets are whole without them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.slicers.importing import taken
from agent.slicers.importing.conditions import fits
from agent.slicers.importing.draft import Draft, Reworded, Setting, Settings
from agent.slicers.importing.finish import add_filament, fill, material
from agent.slicers.importing.presets import FILAMENT, PRINTER, PROCESS, Choice, Preset, Presets
from agent.slicers.importing.sources import Kind, Source

_KINDS = {"print": PROCESS, "filament": FILAMENT, "printer": PRINTER}
_NEEDED = {
    PRINTER: ("bed_shape", "max_print_height"),
    PROCESS: ("layer_height", "first_layer_height"),
    FILAMENT: ("temperature", "first_layer_temperature", "filament_diameter"),
}
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""What may stand before the sign: a vendor wrote `renamed_From`, which PrusaSlicer passes over."""
_BEGIN, _END = "; prusaslicer_config = begin", "; prusaslicer_config = end"
_MOST_PARENTS = 50
_PATTERN = "stars"
"""PrusaSlicer's default."""


@dataclass(frozen=True)
class _Section:
    """`kind` and `name` are empty before the first head."""

    kind: str
    name: str
    line: int
    settings: Settings


def from_prusaslicer(sources: Sequence[Source], choice: Choice) -> Draft:
    """One flat file or G-code, or bundles. Refused in our words where they cannot be used."""
    (first, *others) = sources
    if first.kind is Kind.GCODE:
        _require_alone(first, others, choice)
        return _from_flat(_settings_of_gcode(first), first)
    sections = {source: _sections(source.text.split("\n"), source.name) for source in sources}
    if all(section.kind not in _KINDS for section in sections[first]):
        _require_alone(first, others, choice)
        return _from_flat(_only_section(sections[first], first), first)
    presets = [_preset(section, source) for source, found in sections.items() for section in found if section.kind in _KINDS]
    return _from_bundle(Presets(presets, " and ".join(source.name for source in sources), _NEEDED), choice)


def _require_alone(first: Source, others: Sequence[Source], choice: Choice) -> None:
    if choice != Choice():
        raise Refused(
            f"{first.name} is one whole configuration.", hint="Leave --printer, --print and --filament out: there is nothing to choose."
        )
    if others:
        raise Refused(f"{first.name} is a whole configuration; {others[0].name} cannot be added to it.", hint="Give one of them.")


# --- reading ----------------------------------------------------------------------------------------------------------
def _sections(lines: Iterable[str], name: str) -> list[_Section]:
    sections = [_Section("", "", 0, {})]
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            kind, _, title = line[1:-1].partition(":")
            sections.append(_Section(kind.strip(), title.strip(), number, {}))
        else:
            _read_line(line, number, sections[-1], name)
    return sections


def _read_line(line: str, number: int, section: _Section, name: str) -> None:
    key, sign, value = (part.strip() for part in line.partition("="))
    if section.kind and section.kind not in _KINDS:
        return
    if not sign or not _WORD.fullmatch(key):
        raise Refused(f"{name}:{number}: '{one_line(line)[:60]}' is no 'key = value' line.", hint="Export it anew.")
    if key in section.settings:
        raise Refused(f"{name}:{number}: {key} is set twice, first in line {section.settings[key].line}.", hint="Keep one of them.")
    source = f"[{one_line(section.kind)}:{one_line(section.name)}]" if section.kind else name
    section.settings[key] = Setting(value, source, number)


def _preset(section: _Section, source: Source) -> Preset:
    inherits = section.settings.get("inherits")
    parents = [part.strip().strip('"') for part in inherits.text.split(";")] if inherits else []
    named = tuple(dict.fromkeys(parent for parent in parents if parent))
    where = f"{source.name}:{section.line}"
    if len(named) > _MOST_PARENTS:
        raise Refused(f"{where}: {one_line(section.name)} has {len(named)} parents.", hint="That is no bundle of PrusaSlicer's.")
    if not section.name:
        raise Refused(f"{where}: this {section.kind} has no name.", hint="Write it as [kind:name].")
    is_parent_only = section.name.startswith("*") and section.name.endswith("*")
    return Preset(_KINDS[section.kind], section.name, section.settings, named, where, offered=not is_parent_only)


def _only_section(sections: Sequence[_Section], source: Source) -> Settings:
    if len(sections) > 1 and not sections[0].settings:
        heads = ", ".join(f"[{one_line(section.kind)}]"[:30] for section in sections[1:4])
        raise Refused(f"{source.name} has sections ({heads}), and none is a printer's, a print's or a filament's.", hint=_WHAT)
    if not sections[0].settings:
        raise Refused(f"{source.name} says nothing.", hint=_WHAT)
    return sections[0].settings


_WHAT = "In PrusaSlicer: File, Export, Export Config, or Export Config Bundle."


def _settings_of_gcode(source: Source) -> Settings:
    """The last block of settings; every line in it is a comment."""
    _, begin, after = source.text.replace("\r\n", "\n").rpartition(f"{_BEGIN}\n")
    block, end, _ = after.partition(_END)
    if not begin or not end:
        why = "it ends without PrusaSlicer's settings"
        hint = "Only PrusaSlicer's G-code holds all of them, at its end. Of other slicers, give the profile itself."
        raise Refused(f"{source.name} cannot be taken: {why}.", hint=hint)
    lines = [line.strip().removeprefix(";").strip() for line in block.split("\n")]
    settings: Settings = {}
    for line in lines:
        key, sign, value = (part.strip() for part in line.partition("="))
        if sign and _KEY.fullmatch(key):
            settings[key] = Setting(value, f"the settings at the end of {source.name}")
    return settings


# --- choosing and flattening ------------------------------------------------------------------------------------------
def _from_flat(found: Settings, source: Source) -> Draft:
    name = found.get("printer_settings_id") or found.get("printer_model")
    draft = Draft((name.text.strip('"') if name else "") or source.path.stem, source.name, ("prusaslicer",))
    of_kind = {kind: {key: one for key, one in found.items() if taken.kind_of(key) == kind} for kind in _FILES}
    _lay_out(draft, of_kind[taken.MACHINE], of_kind[taken.PROCESS], [of_kind[taken.FILAMENT]])
    return draft


_FILES = (taken.MACHINE, taken.PROCESS, taken.FILAMENT)


def _from_bundle(presets: Presets, choice: Choice) -> Draft:
    printer = presets.chosen(PRINTER, choice.printer)
    machine = presets.flat(PRINTER, printer)
    _require_printable(machine, printer)

    def suits(settings: Settings) -> bool:
        return _suits(settings, printer, machine) is not False

    process = presets.chosen(PROCESS, choice.process, _own(machine, "default_print_profile"), suits)
    asked: Sequence[str | None] = choice.filaments or [None]
    filaments = [presets.chosen(FILAMENT, name, _own(machine, "default_filament_profile"), suits) for name in asked]
    draft = Draft(printer, f"{printer}, {process}, {', '.join(filaments)}", ("prusaslicer",))
    _lay_out(draft, machine, presets.flat(PROCESS, process), [presets.flat(FILAMENT, name) for name in dict.fromkeys(filaments)])
    for kind, name in ((PROCESS, process), *((FILAMENT, name) for name in dict.fromkeys(filaments))):
        settings = presets.flat(kind, name)
        _tell_whether_it_suits(draft, f"{kind} {one_line(name)}", settings, _suits(settings, printer, machine))
    for child, parent in presets.orphans.items():
        draft.check.append(
            f"{one_line(child)} says that it comes from {one_line(parent)}, which is not in the file; it was taken as it is."
        )
    return draft


def _own(machine: Mapping[str, Setting], key: str) -> str:
    return machine[key].text.split(";")[0].strip(' "') if key in machine else ""


def _suits(settings: Settings, printer: str, machine: Settings) -> bool | None:
    """By what the preset itself says: a list of printers, or a condition. None: a condition that only PrusaSlicer can weigh."""
    named = re.findall(r'"([^"]*)"', settings["compatible_printers"].text) if "compatible_printers" in settings else []
    if named:
        return printer in named
    return fits(settings["compatible_printers_condition"].text, machine) if "compatible_printers_condition" in settings else True


def _tell_whether_it_suits(draft: Draft, what: str, settings: Settings, suits: bool | None) -> None:
    if suits is not True:
        key = "compatible_printers" if suits is False and settings.get("compatible_printers") else "compatible_printers_condition"
        said = settings[key] if settings.get(key) and settings[key].text else settings["compatible_printers_condition"]
        verb = "is not made for this printer" if suits is False else "may not be made for this printer"
        draft.check.append(f"The {what} {verb}; it says: {one_line(said.text)[:200]}")


def _lay_out(draft: Draft, machine: Settings, process: Settings, filaments: Sequence[Settings]) -> None:
    """Into the files of a profile. A key in two kinds of presets counts where it belongs, as with PrusaSlicer."""
    _require_printable(machine, draft.title)
    told: set[str] = set()
    shared = {key for key in machine if key in process or any(key in one for one in filaments)}
    shared |= {key for key in process if any(key in one for one in filaments)}
    draft.machine = taken.take(_belonging(machine, taken.MACHINE, shared), draft, told)
    draft.process = taken.take(_belonging(process, taken.PROCESS, shared), draft, told)
    for settings in filaments:
        kept = taken.take(_belonging(settings, taken.FILAMENT, shared), draft, told)
        add_filament(draft, material(settings.get("filament_type"), draft), kept)
    _say_in_mm(draft)
    fill(draft, _PATTERN)
    for settings in (draft.machine, *draft.filaments.values()):
        taken.look_at_commands(draft, settings)


def _say_in_mm(draft: Draft) -> None:
    """The first layer in percent of the others, as PrusaSlicer up to 2.3 took it. The command line of 2.5 takes 75% for 75 mm."""
    first, layer = draft.process.get("first_layer_height"), draft.process.get("layer_height")
    if first is None or layer is None or not first.text.endswith("%"):
        return
    try:
        height = float(first.text.rstrip("%")) / 100 * float(layer.text)
    except ValueError:
        return  # our reader tells it with its line
    draft.process["first_layer_height"] = Setting(f"{height:g}", first.source, first.line)
    draft.reworded.append(Reworded("process.ini", "first_layer_height", first.text, f"{height:g}"))


def _belonging(settings: Settings, kind: str, shared: set[str]) -> Settings:
    return {key: one for key, one in settings.items() if key not in shared or taken.kind_of(key) == kind}


def _require_printable(machine: Settings, name: str) -> None:
    technology = machine.get("printer_technology")
    if technology is not None and technology.text not in ("FFF", ""):
        raise Refused(f"{one_line(name)} is no printer with a nozzle ({one_line(technology.text)[:20]}).", hint="Choose another printer.")
    nozzles = machine["nozzle_diameter"].text.split(",") if "nozzle_diameter" in machine else []
    if len(nozzles) > 1:
        raise Refused(
            f"{one_line(name)} has {len(nozzles)} extruders ({machine['nozzle_diameter'].place}), and the agent prints with one.",
            hint="Choose the preset of its single mode, or set Extruders to 1 in PrusaSlicer and export that.",
            code="several_extruders",
        )
