"""The printer's report: all fields of an idle printer, and what it says of itself when asked for its version."""

from typing import Any

from agent.sandbox.bambu.heat import cooling
from agent.sandbox.bambu.trays import ams

IDLE_STAGE = 255
USER_PAUSE_STAGE = 16
RUNOUT_STAGE = 6
NO_TRAY, EXTERNAL_SPOOL = "255", "254"
PREPARE_STAGES = (2, 14, 1)  # heating the bed, cleaning the nozzle, levelling

CANCELLED = 0x0300_400C
USER_PAUSE = 0x0300_8001
BUSY = 0x0500_4004
NOZZLE_CLUMP = 0x0300_8014
NOT_AUTHORIZED = 0x0502_4007
NOT_AUTHORIZED_HMS = {"attr": 0x0500_0500, "code": 0x0001_0007}
CLUMP_HMS = {"attr": 0x0300_1A00, "code": 0x0002_0002}

_PROJECT_NAMES = {"P1S": "C12", "P1P": "C11", "X1C": "BL-P001", "A1": "N2S", "A1M": "N1"}


def idle_report() -> dict[str, Any]:
    """Every field of the full push of an idle printer."""
    return {
        "gcode_state": "IDLE",
        "gcode_file": "",
        "subtask_name": "",
        "subtask_id": "0",
        "task_id": "0",
        "project_id": "0",
        "profile_id": "0",
        "print_error": 0,
        "hms": [],
        "mc_percent": 0,
        "mc_remaining_time": 0,
        "mc_print_stage": "1",
        "mc_print_sub_stage": 0,
        "layer_num": 0,
        "total_layer_num": 0,
        "stg_cur": IDLE_STAGE,
        "stg": [],
        "print_type": "idle",
        "gcode_file_prepare_percent": "0",
        "sdcard": True,
        "home_flag": 0x107,
        "wifi_signal": "-45dBm",
        **cooling(1.0),
        "chamber_temper": 24,
        "nozzle_diameter": "0.4",
        "nozzle_type": "stainless_steel",
        "cooling_fan_speed": "0",
        "big_fan1_speed": "0",
        "big_fan2_speed": "0",
        "heatbreak_fan_speed": "0",
        "spd_lvl": 2,
        "spd_mag": 100,
        "lights_report": [{"node": "chamber_light", "mode": "off"}],
        "ipcam": {"ipcam_dev": "1", "ipcam_record": "disable", "timelapse": "disable", "resolution": "720p"},
        "upgrade_state": {"status": "IDLE", "progress": "0", "message": "", "new_version_state": 2},
        "xcam": {"buildplate_marker_detector": False},
        "ams_status": 0,
        "ams_rfid_status": 0,
        "ams": ams(),
        "vt_tray": {"id": "254", "tray_type": "", "tray_color": "00000000", "tray_info_idx": "", "remain": 0},
    }


def modules(serial: str, model: str, firmware: str) -> list[dict[str, str]]:
    """The answer to get_version. Clients read `sw_ver` of `ota`."""
    product = _PROJECT_NAMES.get(model, model)
    parts = [("ota", firmware, "OTA"), ("mc", "00.00.30.78", "MC07"), ("th", "00.00.08.82", "TH07"), ("ams/0", "00.00.06.49", "AMS08")]
    return [
        {"name": name, "project_name": product, "sw_ver": version, "hw_ver": hardware, "sn": serial, "loader_ver": "00.00.00.00"}
        for name, version, hardware in parts
    ]


def merge(known: dict[str, Any], changes: dict[str, Any]) -> None:
    """As clients have to: a dict into a dict, everything else in place of what was."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(known.get(key), dict):
            merge(known[key], value)
        else:
            known[key] = value
