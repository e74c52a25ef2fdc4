"""What is wrong with the printer, as a person or a test asked for."""

import json
from dataclasses import dataclass
from typing import Any

from agent.domain.errors import Refused

REFUSALS = ("off", "result", "no_result")
HUGE = 1_000_000


@dataclass
class Faults:
    """All off at first. Times in seconds."""

    refuse: str = "off"  # no Developer Mode: `result` says so in the answer and by HMS, `no_result` by HMS alone (as a P1S 01.10 does)
    silent: bool = False  # says nothing
    deaf: bool = False  # does nothing of what it is told; what runs goes on
    state_word: str = ""  # said for gcode_state in place of the true one
    nul_ended: bool = False  # every message ends in a NUL byte
    lose_starts: int = 0  # so many starts are neither answered nor done
    lose_replies: int = 0  # so many starts are done and not answered
    hold_start_s: float = 0.0  # the next start is taken up that much later
    slow_s: float = 0.0  # every request is taken up that much later
    card_bytes_s: int = 0  # so many bytes a second of the next file are taken; 0: as fast as it comes


def garbage(kind: str, report: dict[str, Any]) -> bytes:
    """One message as printers in the field sent, or as a hostile one could."""
    state = {"command": "push_status", "msg": 1, "sequence_id": "9"}
    kinds: dict[str, bytes] = {
        "not_utf8": b'{"print": {"command": "push_status", "msg": 1, "subtask_name": "\xff\xfe\xb0"}}',
        "broken_json": b'{"print": {"command": "push_status", "gcode_state": "RUNN',
        "nul": json.dumps({"print": {**state, "wifi_signal": report.get("wifi_signal")}}).encode() + b"\0",
        "unknown_state": json.dumps({"print": {**state, "gcode_state": "DANCING"}}).encode(),
        "wrong_types": json.dumps(
            {"print": {**state, "gcode_state": 7, "mc_percent": "many", "hms": {"a": 1}, "ams": [1], "print_error": None, "layer_num": []}}
        ).encode(),
        "list": b'[1, {"print": 2}, null]',
        "nested": b"[" * 100_000,
        "huge": json.dumps({"print": {**state, "wifi_signal": "x" * HUGE}}).encode(),
        "empty": b"",
    }
    if kind not in kinds:
        raise Refused(f"There is no garbage of the kind {kind!r}.", hint=f"One of: {', '.join(kinds)}.", code="bad_request")
    return kinds[kind]
