"""Commands that are never sent to a printer, whoever wrote them into the G-code: the slicer, or a profile's start and end code."""

from collections.abc import Iterable

UNSAFE = {
    "M0": "stops until somebody presses a button",
    "M1": "stops until somebody presses a button",
    "M23": "opens another file on the printer",
    "M24": "starts another file on the printer",
    "M25": "pauses the print",
    "M28": "writes a file on the printer",
    "M30": "deletes a file on the printer",
    "M32": "starts another file on the printer",
    "M42": "switches a pin of the board",
    "M92": "changes the steps a millimetre",
    "M112": "stops the printer as in an emergency",
    "M121": "switches the end stops off",
    "M206": "moves the printer's zero",
    "M211": "switches the end stops' limits off",
    "M226": "waits for a pin of the board",
    "M301": "changes the heater control",
    "M302": "lets a cold nozzle extrude",
    "M303": "tunes the heaters",
    "M304": "changes the bed's heater control",
    "M428": "moves the printer's zero",
    "M500": "writes settings into the printer",
    "M501": "loads other settings",
    "M502": "resets the printer's settings",
    "M504": "checks and may reset stored settings",
    "M600": "waits for another filament",
    "M601": "pauses the print",
    "M665": "changes the printer's geometry",
    "M666": "changes the printer's geometry",
    "M851": "moves the probe, and so the first layer",
    "M928": "starts a log on the printer",
    "M929": "starts a log on the printer",
    "M997": "updates the firmware",
    "M999": "restarts after a safety stop",
    # Klipper's own
    "CANCEL_PRINT": "ends the print",
    "FIRMWARE_RESTART": "restarts the printer",
    "MANUAL_STEPPER": "moves a motor past every limit",
    "FORCE_MOVE": "moves a motor past every limit",
    "PAUSE": "pauses the print",
    "PID_CALIBRATE": "tunes the heaters",
    "RESTART": "restarts the printer",
    "RUN_SHELL_COMMAND": "runs a program on the printer's computer",
    "SAVE_CONFIG": "writes settings into the printer",
    "SDCARD_PRINT_FILE": "starts another file on the printer",
    "SET_HEATER_TEMPERATURE": "heats where the proof does not look",
    "SET_KINEMATIC_POSITION": "moves the printer's zero",
    "SET_PIN": "switches a pin of the board",
}
"""What no ordered print needs, and why it is never sent."""

_KNOWN_G = frozenset(f"G{number}" for number in (4, 10, 11, 12, 17, 21, 26, 27, 28, 29, 30, 32, 34, 76, 80, 81, 90, 91, 92))
"""Everything else that begins with G moves or measures in a way the reader does not follow, so its bounds would prove nothing."""


def refused_commands(commands: Iterable[str]) -> list[str]:
    """Those of the commands that are not to be sent, each with the reason. Straight moves are not among them."""
    return [f"{code} {why}" for code in commands if (why := _why_not(code))]


def _why_not(code: str) -> str:
    whole = code.split(".")[0]
    if whole in UNSAFE:
        return UNSAFE[whole]
    if whole[0] == "G" and whole[1:].isdigit() and code not in _KNOWN_G:
        return "moves in a way that is not checked"
    if whole[0] == "T" and whole[1:].isdigit() and whole != "T0":
        return "changes to another tool or filament"
    return ""
