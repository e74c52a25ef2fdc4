"""The AMS: four trays with their colours, and the words the printer has for them."""

from typing import Any

COLORS = ("000000FF", "FF0000FF", "00FF00FF", "FFFFFFFF")
_FULL = {
    "remain": 80,
    "tray_info_idx": "GFL99",
    "nozzle_temp_min": "190",
    "nozzle_temp_max": "240",
    "tag_uid": "0000000000000000",
    "tray_uuid": "00000000000000000000000000000000",
    "tray_sub_brands": "",
    "tray_id_name": "",
    "tray_weight": "1000",
    "tray_diameter": "1.75",
    "tray_temp": "0",
    "tray_time": "0",
    "bed_temp": "0",
    "bed_temp_type": "0",
    "xcam_info": "000000000000000000000000",
    "k": 0.02,
    "n": 1,
    "cali_idx": -1,
    "drying_temp": "0",
    "drying_time": "0",
    "ctype": 0,
    "state": 11,
}


def tray(index: int, color: str, material: str) -> dict[str, Any]:
    """`color`: RRGGBBAA."""
    return {"id": str(index), "tray_type": material, "tray_color": color, "cols": [color], **_FULL}


def ams(colors: tuple[str, ...] = COLORS, material: str = "PLA", empty: frozenset[int] = frozenset()) -> dict[str, Any]:
    """One unit. An empty tray is named by its id alone, and is missing in the bits."""
    trays = [{"id": str(index)} if index in empty else tray(index, color, material) for index, color in enumerate(colors)]
    bits = f"{sum(1 << index for index in range(len(colors)) if index not in empty):x}"
    return {
        "ams": [{"id": "0", "humidity": "4", "temp": "24.1", "tray": trays}],
        "ams_exist_bits": "1",
        "tray_exist_bits": bits,
        "tray_is_bbl_bits": "0",
        "tray_read_done_bits": bits,
        "tray_reading_bits": "0",
        "tray_now": "255",
        "tray_pre": "255",
        "tray_tar": "255",
        "version": 4,
        "insert_flag": True,
        "power_on_flag": False,
    }


def runout_error(slot: int) -> int:
    """print_error of an AMS tray that ran out: 07xx8011, xx = the unit (source: the texts in bambu-printer-manager)."""
    return 0x0700_8011 | ((slot // 4) << 16)


def runout_hms(slot: int) -> dict[str, int]:
    """HMS 0700 2s00 0002 0001: slot s ran out."""
    return {"attr": 0x0700_2000 | ((slot // 4) << 16) | ((slot % 4) << 8), "code": 0x0002_0001}


def slots_of(request: dict[str, Any]) -> list[int] | None:
    """The trays a project_file asks for; empty for the external spool, None where it says nothing of them."""
    mapping = request.get("ams_mapping")
    if not isinstance(mapping, list):
        return None
    return [slot for slot in mapping if isinstance(slot, int) and slot >= 0] if request.get("use_ams") else []


def holds(held: Any, slots: list[int] | None) -> bool:
    """A tray that is not there, or empty, leaves the printer in preparing for ever, with no error (source: OpenBambuAPI issue 10, where an
    index was wrong; for an empty tray it is our reading)."""
    units = held.get("ams", []) if isinstance(held, dict) else []
    there = {int(unit["id"]) * 4 + int(tray["id"]) for unit in units for tray in unit["tray"] if tray.get("tray_type")}
    return there.issuperset(slots or [])
