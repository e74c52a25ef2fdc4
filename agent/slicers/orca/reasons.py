"""Why OrcaSlicer or Bambu Studio gave up: their own codes (src/libslic3r/Utils.hpp, CLI_…), in words for an operator.

The exit status is the code's lowest byte: 239 is -17. A code here that another version uses otherwise still comes with the program's own
words (`error_string` of its result.json).
"""

from typing import NamedTuple

from agent.domain.errors import AgentError, NeedsOperator, Refused


class Reason(NamedTuple):
    """`code` as AgentError.code; `says` follows the program's name."""

    kind: type[NeedsOperator] | type[Refused]
    code: str
    says: str
    hint: str


_PRESET = "Slice a part with these presets in the program itself, mend them there, and import them again (intagly-agent profiles import)."
_MODEL = "Look at the model in the program itself, or ask for another file."
_SLICER = "Its own words are the reason; if it goes on, try another slicer for this printer."
_OURS = "The agent and this version do not understand each other: try another version, or another slicer for this printer."
_BED = "Is the bed in orca/machine.json the one of machine.ini? Its unprintable areas (bed_exclude_area) count as well."
_LIGHTER = "Ask for a simpler model, or for higher layers."


def _installation(code: str, says: str, hint: str) -> Reason:
    return Reason(NeedsOperator, code, says, hint)


def _plate(code: str, says: str, hint: str) -> Reason:
    return Reason(Refused, code, says, hint)


REASONS = {
    -1: _installation("slicer_environment", "could not set itself up on this machine", "Start it by hand as the agent's user."),
    -2: _installation("slicer_parameters", "did not take the way it was called", _OURS),
    -3: _installation(
        "slicer_input_missing", "did not find a file that it was given", "May the agent's user read the work folder and profiles?"
    ),
    -4: _installation("slicer_input_order", "did not take the files in this order", _OURS),
    -5: _installation("slicer_bad_preset", "cannot read one of the profile's presets", _PRESET),
    -6: _plate("slicer_bad_model", "cannot read the model", _MODEL),
    -7: _installation("slicer_technology", "was given presets of a printer that melts no filament", _PRESET),
    -8: _installation("slicer_unsupported", "does not know something it was asked to do", _OURS),
    -9: _plate("slicer_copies", "could not copy the parts", _SLICER),
    -10: _plate("slicer_scale", "could not scale the parts, which nobody asked for", _SLICER),
    -11: _installation("slicer_export", "could not write a model (STL)", _SLICER),
    -12: _installation("slicer_export", "could not write a model (OBJ)", _SLICER),
    -13: _installation("slicer_export", "could not write its project (3MF)", _SLICER),
    -14: _plate(
        "slicer_out_of_memory", "ran out of memory", "Raise [slicing] memory_mb if the machine has it, or lower [slicing] workers."
    ),
    -15: _installation("slicer_printer_unknown", "does not support this printer", _PRESET),
    -16: _installation("slicer_printer_differs", "takes the printer's preset for another one than the project's", _PRESET),
    -17: _installation("slicer_process_differs", "says that the process preset is not for this printer", _PRESET),
    -18: _installation("slicer_bad_values", "found settings out of range", _PRESET),
    -19: _installation(
        "slicer_post_process", "runs no programs after slicing, and a preset asks for one", "Take post_process out of the presets."
    ),
    -20: _installation("slicer_bed_smaller", "says that the bed is smaller than the presets'", _BED),
    -21: _plate("slicer_arrange", "could not arrange the parts, which nobody asked for", _OURS),
    -22: _plate("slicer_orient", "could not turn the parts, which nobody asked for", _OURS),
    -23: _installation("slicer_printer_changed", "says that the printer's preset was changed where it must not be", _PRESET),
    -24: _installation("slicer_file_version", "takes the plate for one of a newer version", "Install a newer version of it."),
    -50: _plate("slicer_nothing_to_print", "finds nothing on the bed that it could print", _BED),
    -51: _plate("slicer_invalid", "says that the settings do not go together for these parts", _PRESET),
    -52: _plate("slicer_partly_outside", "says that a part stands over the edge of what can be printed", _BED),
    -53: _installation("slicer_cache", "could not make a folder for its cache, which nobody asked for", _OURS),
    -54: _installation("slicer_cache", "could not write its cache, which nobody asked for", _OURS),
    -55: _installation("slicer_cache", "did not find its cache, which nobody asked for", _OURS),
    -56: _installation("slicer_cache", "cannot use its cache, which nobody asked for", _OURS),
    -57: _installation("slicer_cache", "could not load its cache, which nobody asked for", _OURS),
    -58: _plate("slicer_own_time", "ended at a limit of its own on the time for a plate", _LIGHTER),
    -59: _plate("slicer_triangles", "ended at a limit of its own on the triangles of a plate", _LIGHTER),
    -60: _plate("slicer_nothing_left", "finds no part left to print", _BED),
    -61: _installation(
        "slicer_bed_type", "says that the filament does not go with this kind of plate", "Set curr_bed_type in orca/process.json."
    ),
    -62: _plate("slicer_temperatures", "says that the filaments' temperatures are too far apart", _PRESET),
    -63: _plate("slicer_collision", "says that the head would hit a part that is already printed", _SLICER),
    -64: _plate("slicer_collision", "says that parts are in each other's way", _SLICER),
    -65: _installation("slicer_vase", "says that a setting does not go with vase mode", "Switch spiral_mode off in orca/process.json."),
    -66: _installation(
        "slicer_filament_map", "cannot tell which nozzle prints the filament", "Only printers with one nozzle are supported here."
    ),
    -67: _installation("slicer_one_tpu", "prints one flexible filament at a time only", "Only one filament a plate is supported here."),
    -68: _installation("slicer_filament_nozzle", "says that this nozzle does not print the filament", _PRESET),
    -100: _plate("slicer_failed", "could not slice the parts", _MODEL),
    -101: _plate("slicer_path_conflict", "found paths in its own G-code that cross parts already printed", _SLICER),
    -102: _plate("slicer_unprintable_area", "laid paths where the printer cannot print", _BED),
    -103: _plate("slicer_unprintable_area", "says that the filament or its paths cannot be printed there", _BED),
    -104: _plate("slicer_unprintable_area", "laid paths outside of what can be printed", _BED),
    -105: _plate("slicer_unprintable_area", "laid paths outside of what can be printed", _BED),
}
"""-103 to -105 are Bambu Studio's and were not read by name."""


def error_of(slicer: str, code: int, words: str) -> AgentError:
    """`code` is one of REASONS; `words`: what the program itself says of it."""
    reason = REASONS[code]
    return reason.kind(f"{slicer} {reason.says} ({code}). {words}".rstrip(), hint=reason.hint, code=reason.code)
