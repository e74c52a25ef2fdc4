"""Start and end code of Cura's, whose placeholders Cura's window fills in and not the engine."""

import re
from collections.abc import Mapping

from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.slicers.cura.formulas import Value

_PLACEHOLDER = re.compile(r"\{\s*([a-z0-9_]+)\s*(?:,\s*\w+\s*)?\}")
_BRACES = re.compile(r"[{}\[\]]")
_OURS = {
    "layer_height": "layer_height",
    "material_print_temperature": "temperature",
    "material_print_temperature_layer_0": "first_layer_temperature",
    "print_temperature": "temperature",
    "material_bed_temperature": "bed_temperature",
    "material_bed_temperature_layer_0": "first_layer_bed_temperature",
    "print_bed_temperature": "bed_temperature",
}
"""What the filament or the order decides, as our engine fills it in."""
_HEATING = {
    "bed": ("material_bed_temperature", "material_bed_temperature_layer_0"),
    "print": (
        *("material_print_temperature", "material_print_temperature_layer_0", "default_material_print_temperature"),
        *("material_initial_print_temperature", "material_final_print_temperature", "material_standby_temperature", "print_temperature"),
    ),
}
"""As in Cura's StartSliceJob: code that asks for one of these heats by itself, and nothing is put before it."""


def heats(code: str, part: str) -> bool:
    """Whether the code itself heats `bed` or `print` (the nozzle)."""
    return any(key in _HEATING[part] for key in _PLACEHOLDER.findall(code))


def code_of(code: str, values: Mapping[str, Value], where: str) -> str:
    """In our way. Refused for a placeholder that only Cura's window can fill in; in a comment it is dropped."""
    lines = []
    for line in code.replace("\r\n", "\n").split("\n"):
        command, mark, comment = line.partition(";")
        left = _PLACEHOLDER.sub(lambda found: "" if found[1] in _OURS or found[1] in values else found[0], command)
        if re.search(r"[{}\[\]]", left):
            raise Refused(
                f"{where} has a placeholder that only Cura's window fills in: {one_line(command)[:80]}",
                hint="Write the value itself there, and import it again.",
            )
        lines.append(_PLACEHOLDER.sub(lambda found: _filled(found[1], values), command) + mark + _BRACES.sub("", comment))
    return "\n".join(lines).strip()


def _filled(key: str, values: Mapping[str, Value]) -> str:
    """Our engine's placeholder where the filament decides, else the machine's own value."""
    if key in _OURS:
        return f"{{{_OURS[key]}}}"
    value = values[key]
    return f"{value:g}" if isinstance(value, float) else _BRACES.sub("", one_line(str(value)))
