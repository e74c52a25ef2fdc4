"""Run by .venvs/bambu-clients: one Bambu client that nobody here wrote prints one file, and tells as JSON what it saw.

Arguments: which client, host, serial, access code, the .gcode.3mf, a scratch folder.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

WITHIN_S = 60.0


def until(holds: Callable[[], bool]) -> None:
    """Polls: these clients keep what they know in fields."""
    end = time.monotonic() + WITHIN_S
    while not holds():
        if time.monotonic() > end:
            raise SystemExit("timed out")
        time.sleep(0.02)


class Seen:
    """Each state once, in order."""

    def __init__(self, state: Callable[[], str]) -> None:
        self._state = state
        self.states: list[str] = []

    def finished(self) -> bool:
        state = self._state()
        if self.states[-1:] != [state]:
            self.states.append(state)
        return state == "FINISH"


def bambulabs(host: str, serial: str, code: str, file: Path, _scratch: Path) -> dict[str, object]:
    import bambulabs_api  # noqa: PLC0415 - each run has one of the two clients

    printer = bambulabs_api.Printer(host, code, serial)
    printer.connect()
    until(printer.mqtt_client_ready)
    until(lambda: printer.get_state().name == "IDLE")
    trays = [tray.tray_color for tray in printer.ams_hub()[0].filament_trays.values()]
    with file.open("rb") as source:
        uploaded = printer.upload_file(source, file.name)
    printer.start_print(file.name, 1)
    seen = Seen(lambda: str(printer.get_state().name))
    until(seen.finished)
    until(lambda: bool(printer.camera_client.last_frame))
    size = printer.get_camera_image().size
    told = {"states": seen.states, "uploaded": str(uploaded), "trays": trays, "percent": printer.get_percentage(), "picture": size}
    printer.disconnect()
    return told


def manager(host: str, serial: str, code: str, file: Path, scratch: Path) -> dict[str, object]:
    from bpm.bambuconfig import BambuConfig  # noqa: PLC0415 - each run has one of the two clients
    from bpm.bambuprinter import BambuPrinter  # noqa: PLC0415
    from bpm.bambutools import PlateType  # noqa: PLC0415

    # It publishes from one thread while another reads; before Python 3.13 that breaks a TLS connection now and then ("bad record mac" in
    # the broker's log), and what it asked for is lost. It asks again when nothing was heard for so many seconds.
    config = BambuConfig(hostname=host, access_code=code, serial_number=serial, bpm_cache_path=scratch, watchdog_timeout=3)
    printer = BambuPrinter(config)
    printer.start_session()
    until(lambda: printer.service_state.name == "CONNECTED" and bool(printer.config.firmware_version))
    listing = json.dumps(printer.upload_sdcard_file(str(file), f"/{file.name}"), default=str)
    printer.print_3mf_file(f"/{file.name}", 1, PlateType.AUTO, True, "[0]")
    seen = Seen(lambda: str(printer.printer_state.gcode_state))
    until(seen.finished)
    told = {
        "states": seen.states,
        "listed": file.name in listing,
        "model": printer.config.printer_model.name,
        "trays": len(printer.printer_state.spools),
        "firmware": printer.config.firmware_version,
    }
    printer.quit()
    return told


if __name__ == "__main__":
    clients = {"bambulabs-api": bambulabs, "bambu-printer-manager": manager}
    which, host, serial, code, file, scratch = sys.argv[1:]
    print("told: " + json.dumps(clients[which](host, serial, code, Path(file), Path(scratch))))
