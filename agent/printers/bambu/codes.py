"""The printer's numbers in words. Meanings read in public sources (see the facts in docs); the words are ours. Not seen on hardware."""

CANCELLED = frozenset({"0300400C", "0500400E"})
"""The job was cancelled. The printer clears it within seconds."""

DEVELOPER_MODE = frozenset({"05024007"})
HMS_DEVELOPER_MODE = "0500050000010007"
"""All sixteen digits: the short form matches other things."""

DEVELOPER_MODE_HINT = (
    "On the printer: Settings, LAN Only Mode on, then Developer Mode on (it may need a restart). "
    "The access code changes with it: put the new one into the printer's access_code_file."
)

_RUNOUT_ENDS = ("8011", "8004", "8015")
_FIRST_ERROR = 0x4000
"""Below it the second half tells a phase, not an error."""

_WORDS = {
    "03008001": "paused at the printer",
    "03008014": "filament clumps at the nozzle",
    "0300800A": "filament piles up in the chute",
    "05004002": "it cannot find the file at that path (url_form of the printer's settings)",
    "05004003": "it cannot read the file",
    "05004004": "it is busy",
    "0500400C": "it has no memory card",
    "05004015": "its memory card is full",
    "0500C010": "it cannot read its memory card or the file on it",
    "05008051": "another build plate lies on the bed than the file asks for",
    "05024007": "it takes no orders from this agent: Developer Mode is off",
    "05024009": "it cannot make sense of the message",
}


def code_of(number: int) -> str:
    """Eight digits, as the printer's screen shows them but for the dash; empty where it is no error."""
    return f"{number:08X}" if 0 < number < 2**32 and number & 0xFFFF >= _FIRST_ERROR else ""


def is_runout(code: str) -> bool:
    return code.endswith(_RUNOUT_ENDS)


def told(code: str) -> str:
    """In words, with the code as the screen shows it."""
    shown = f"{code[:4]}-{code[4:]}" if len(code) == 8 else "-".join(code[at : at + 4] for at in range(0, len(code), 4))
    return f"{_meaning(code)} ({shown})"


def _meaning(code: str) -> str:
    if code in CANCELLED:
        return "cancelled at the printer"
    if code == HMS_DEVELOPER_MODE:
        return _WORDS["05024007"]
    if len(code) == 8 and is_runout(code):
        return "the filament has run out"
    if code.endswith("8012") and len(code) == 8:
        return "it cannot get the filament from the slot it was told"
    return _WORDS.get(code, "the printer's help page tells what this code means")
