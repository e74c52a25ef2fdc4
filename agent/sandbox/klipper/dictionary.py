"""Which commands there are and how they are written: the data dictionary a micro-controller tells its host (Klipper docs/Protocol.md)."""

import json
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from agent.sandbox.klipper.frames import Malformed, integer, read_integer

CLOCK_HZ = 50_000_000
ADC_MAX = 4095
MOVE_COUNT = 1024
PINS = 64
Field = int | bytes

IDENTIFY = "identify offset=%u count=%c"
IDENTIFY_RESPONSE = "identify_response offset=%u data=%.*s"

_COMMANDS = (
    "allocate_oids count=%c",
    "get_config",
    "finalize_config crc=%u",
    "get_clock",
    "get_uptime",
    "emergency_stop",
    "clear_shutdown",
    "reset",
    "config_stepper oid=%c step_pin=%c dir_pin=%c invert_step=%c step_pulse_ticks=%u",
    "queue_step oid=%c interval=%u count=%hu add=%hi",
    "set_next_step_dir oid=%c dir=%c",
    "reset_step_clock oid=%c clock=%u",
    "stepper_get_position oid=%c",
    "stepper_stop_on_trigger oid=%c trsync_oid=%c",
    "config_endstop oid=%c pin=%c pull_up=%c",
    "endstop_home oid=%c clock=%u sample_ticks=%u sample_count=%c rest_ticks=%u pin_value=%c trsync_oid=%c trigger_reason=%c",
    "endstop_query_state oid=%c",
    "config_trsync oid=%c",
    "trsync_start oid=%c report_clock=%u report_ticks=%u expire_reason=%c",
    "trsync_set_timeout oid=%c clock=%u",
    "trsync_trigger oid=%c reason=%c",
    "set_digital_out pin=%u value=%c",
    "config_digital_out oid=%c pin=%u value=%c default_value=%c max_duration=%u",
    "set_digital_out_pwm_cycle oid=%c cycle_ticks=%u",
    "queue_digital_out oid=%c clock=%u on_ticks=%u",
    "update_digital_out oid=%c value=%c",
    "config_analog_in oid=%c pin=%u",
    "query_analog_in oid=%c clock=%u sample_ticks=%u sample_count=%c rest_ticks=%u min_value=%hu max_value=%hu range_check_count=%c",
    "config_buttons oid=%c button_count=%c",
    "buttons_add oid=%c pos=%c pin=%u pull_up=%c",
    "buttons_query oid=%c clock=%u rest_ticks=%u retransmit_count=%c invert=%c",
    "buttons_ack oid=%c count=%c",
)
_RESPONSES = (
    "config is_config=%c crc=%u is_shutdown=%c move_count=%hu",
    "clock clock=%u",
    "uptime high=%u clock=%u",
    "stats count=%u sum=%u sumsq=%u",
    "shutdown clock=%u static_string_id=%hu",
    "is_shutdown static_string_id=%hu",
    "starting",
    "stepper_position oid=%c pos=%i",
    "endstop_state oid=%c homing=%c next_clock=%u pin_value=%c",
    "trsync_state oid=%c can_trigger=%c trigger_reason=%c clock=%u",
    "analog_in_state oid=%c next_clock=%u value=%hu",
    "buttons_state oid=%c ack_count=%c state=%*s",
)
SHUTDOWNS = (
    "ADC out of range",
    "Command request",
    "Invalid command",
    "Missed scheduling of next digital out event",
    "Timer too close",
    "Thermal sensor fault",
)


class _Format(NamedTuple):
    number: int
    name: str
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, number: int, text: str) -> "_Format":
        name, *fields = text.split()
        return cls(number, name, tuple(field.partition("=%")[2] for field in fields))


def _numbered(first: str, first_number: int, rest: tuple[str, ...], start: int) -> dict[str, int]:
    return {first: first_number} | {text: start + at for at, text in enumerate(rest)}


# Only these two numbers are fixed; the host learns the others.
_COMMAND_IDS = _numbered(IDENTIFY, 1, _COMMANDS, 2)
_RESPONSE_IDS = _numbered(IDENTIFY_RESPONSE, 0, _RESPONSES, 2 + len(_COMMANDS))
_BY_NUMBER = {number: _Format.of(number, text) for text, number in _COMMAND_IDS.items()}
_BY_NAME = {text.split()[0]: _Format.of(number, text) for text, number in _RESPONSE_IDS.items()}
COMMAND_NAMES = tuple(form.name for form in _BY_NUMBER.values())


def compressed() -> bytes:
    """What the host reads in slices before anything else."""
    return zlib.compress(
        json.dumps(
            {
                "version": "sandbox-mcu",
                "build_versions": "",
                "commands": _COMMAND_IDS,
                "responses": _RESPONSE_IDS,
                "output": {},
                "enumerations": {
                    "pin": {"P0": [0, PINS]},
                    "static_string_id": {text: number for number, text in enumerate(SHUTDOWNS)},
                },
                "config": {"MCU": "sandbox", "CLOCK_FREQ": CLOCK_HZ, "ADC_MAX": ADC_MAX, "STATS_SUMSQ_BASE": 256, "PWM_MAX": 255},
            }
        ).encode()
    )


def commands(content: bytes) -> Iterator[tuple[str, list[Field]]]:
    """The commands in a block, by name, with their fields. Malformed: no such command, or the block ends inside one."""
    at = 0
    while at < len(content):
        number, at = read_integer(content, at)
        form = _BY_NUMBER.get(number)
        if form is None:
            raise Malformed(f"no command has the number {number}")
        fields: list[Field] = []
        for kind in form.kinds:
            value, at = read_integer(content, at)
            fields.append(value if kind.endswith("i") else value & 0xFFFFFFFF)
        yield form.name, fields


def response(name: str, *fields: Field) -> bytes:
    """A block's content."""
    form = _BY_NAME[name]
    parts = (integer(field) if isinstance(field, int) else integer(len(field)) + field for field in fields)
    return integer(form.number) + b"".join(parts)
