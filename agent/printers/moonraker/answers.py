"""The shapes of Moonraker's answers, and what they mean in the domain's words."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError

from agent.domain.errors import Unsound
from agent.domain.printer import PrinterObservation, PrinterState, Temperatures
from agent.domain.values import Value, one_line
from agent.printers.moonraker.rpc import first_line

SENSORS = ("filament_switch_sensor ", "filament_motion_sensor ")
"""How the objects begin that know whether there is filament."""
_LEAST_FOR_GUESS = 0.02
"""Below this progress the time left is not told: heating is most of what was seen."""

_STATES = {
    "standby": PrinterState.IDLE,
    "printing": PrinterState.PRINTING,
    "paused": PrinterState.PAUSED,
    "complete": PrinterState.FINISHED,
    "cancelled": PrinterState.CANCELLED,
    "error": PrinterState.FAILED,
}
"""print_stats.state: Klipper, klippy/extras/print_stats.py."""
_ENDS = {
    "completed": PrinterState.FINISHED,
    "cancelled": PrinterState.CANCELLED,
    "error": PrinterState.FAILED,
    "klippy_shutdown": PrinterState.FAILED,
    "klippy_disconnect": PrinterState.FAILED,
}
"""The history's status. `interrupted` and `server_exit` (Moonraker was killed, or stopped in good order) and `in_progress` say nothing of
the end: Klipper prints on without Moonraker, and the record stays as it is. Seen."""
LOST = "klippy_disconnect"

_Answer = TypeVar("_Answer", bound=Value)


class PrintStats(Value):
    """`filename` is the path below the gcodes folder; durations in seconds."""

    filename: str | None = None
    state: str = ""
    message: str | None = None
    print_duration: float = 0.0


class Webhooks(Value):
    """ready, startup, shutdown or error; `state_message` has several lines."""

    state: str = "ready"
    state_message: str | None = None


class VirtualSd(Value):
    """`progress` 0…1 and `file_position` by bytes of the file."""

    progress: float = 0.0
    is_active: bool = False
    file_position: int = 0


class Sensor(Value):
    """A filament sensor. One that is switched off says nothing."""

    enabled: bool = True
    filament_detected: bool = True


class Heater(Value):
    """In °C."""

    temperature: float | None = None
    target: float | None = None


class Status(Value):
    """What one printer.objects.query answers: all of one instant."""

    print_stats: PrintStats = PrintStats()
    webhooks: Webhooks = Webhooks()
    virtual_sdcard: VirtualSd = VirtualSd()
    extruder: Heater = Heater()
    heater_bed: Heater = Heater()

    @property
    def file_name(self) -> str:
        return self.print_stats.filename or ""

    @property
    def state(self) -> PrinterState | None:
        """Of the job; None where print_stats says something nobody knows."""
        return _STATES.get(self.print_stats.state)

    @property
    def ready(self) -> bool:
        return self.webhooks.state == "ready"

    @property
    def selected_only(self) -> bool:
        """A file is loaded and nothing of it was begun. From the moment a start is carried out this is never so again."""
        card = self.virtual_sdcard
        return self.ready and self.state is PrinterState.IDLE and not card.is_active and card.file_position == 0


QUERY = {"print_stats": None, "webhooks": None, "virtual_sdcard": ["progress", "is_active", "file_position"]}
HEATERS = {"extruder": ["temperature", "target"], "heater_bed": ["temperature", "target"]}


class StatusAnswer(Value):
    """printer.objects.query."""

    status: Status


class SensorsAnswer(Value):
    """printer.objects.query of sensors only."""

    status: dict[str, Sensor]


class ObjectsAnswer(Value):
    """printer.objects.list."""

    objects: list[str]


class InfoAnswer(Value):
    """server.info, also GET /server/info within `result`."""

    klippy_state: str = ""
    components: list[str] = []
    failed_components: list[str] = []
    moonraker_version: str


class HistoryJob(Value):
    """One print in Moonraker's history."""

    filename: str | None = None
    status: str = ""


class HistoryAnswer(Value):
    """server.history.list, newest first."""

    jobs: list[HistoryJob]


class JobAnswer(Value):
    """server.history.get_job."""

    job: HistoryJob


class MetadataAnswer(Value):
    """server.files.metadata. `job_id` is the history's id of the file's latest print since it was uploaded."""

    job_id: str | None = None


class Webcam(Value):
    name: str = ""
    enabled: bool = True
    snapshot_url: str = ""


class WebcamsAnswer(Value):
    """server.webcams.list."""

    webcams: list[Webcam]


class UploadedFile(Value):
    path: str


class UploadAnswer(Value):
    """POST /server/files/upload."""

    item: UploadedFile


def read(shape: type[_Answer], answer: object) -> _Answer:
    """The answer in its shape. Unsound where what answers does not answer as Moonraker does."""
    try:
        return shape.model_validate(answer)
    except (ValidationError, RecursionError):
        # Without its cause: its text is the answer's, as long as that may be.
        raise Unsound(
            "What answers there does not answer as Moonraker does.", hint="Is it a very old or new one?", code="not_moonraker"
        ) from None


def observation(status: Status) -> PrinterObservation:
    """A shutdown leaves print_stats at "printing": seen with a lost board, heater faults and an emergency stop. That print has failed."""
    name, job, state = one_line(status.file_name), status.print_stats, status.state
    if not status.ready:
        why = _not_ready(status.webhooks.state, status.webhooks.state_message)
        halted_in_print = status.webhooks.state == "shutdown" and state in (PrinterState.PRINTING, PrinterState.PAUSED)
        end = PrinterState.FAILED if halted_in_print else PrinterState.OFFLINE
        return PrinterObservation(state=end, remote_name=name if halted_in_print else "", reason=why)
    match state:
        case PrinterState.IDLE:
            if status.virtual_sdcard.is_active:
                return PrinterObservation(state=PrinterState.PREPARING, remote_name=name)
            return PrinterObservation(state=PrinterState.IDLE)
        case PrinterState.PRINTING | PrinterState.PAUSED:
            done = _fraction(status.virtual_sdcard.progress)
            left = int(job.print_duration * (1 - done) / done) if done >= _LEAST_FOR_GUESS else None
            return PrinterObservation(state=state, remote_name=name, progress=done, seconds_left=left)
        case PrinterState.FINISHED:
            return PrinterObservation(state=state, remote_name=name, progress=1.0)
        case PrinterState.CANCELLED:
            return PrinterObservation(state=state, remote_name=name, reason="cancelled at the printer or on its page")
        case PrinterState.FAILED:
            return PrinterObservation(state=state, remote_name=name, reason=first_line(job.message or "") or "Klipper gave no reason")
    said = one_line(job.state[:100])
    why = f"Klipper says '{said}', which nobody here knows" if said else "Klipper has no [virtual_sdcard] to print from"
    return PrinterObservation(state=PrinterState.OFFLINE, remote_name=name, reason=why, needs_attention=True)


def klippy_away(state: str) -> str:
    """Why there is no status at all; `state` is server.info's klippy_state."""
    match state:
        case "disconnected":
            return "Klipper does not run, or Moonraker cannot reach it"
        case "startup":
            return "Klipper is starting"
    return f"Klipper gives no status (Moonraker says '{one_line(state[:100])}')"


def _not_ready(state: str, message: str | None) -> str:
    words = first_line(message or "") or f"Klipper says '{one_line(state[:100])}'"
    return f"{words} — look at Klipper's page, mend the cause, then FIRMWARE_RESTART" if state in ("shutdown", "error") else words


def why_paused(sensors: dict[str, Sensor]) -> str:
    """A sensor without filament is why, as far as Klipper lets one know; it keeps no record of who paused."""
    empty = [name for name, sensor in sensors.items() if sensor.enabled and not sensor.filament_detected]
    if empty:
        return one_line(f"out of filament ({', '.join(empty)})")[:300]
    return "paused at the printer, on its page, or by the G-code"


def end_in_history(name: str, jobs: Sequence[HistoryJob], *, klipper_is_back: bool) -> PrinterObservation | None:
    """One completed print is enough: a person may have printed the file again. Otherwise the newest counts.

    `klipper_is_back`: it answers, and shows another job or none. Only then is a lost Klipper known to have lost the print; otherwise
    Moonraker may have lost its connection only.
    """
    ours = [job for job in jobs if job.filename == name]
    if any(job.status == "completed" for job in ours):
        return PrinterObservation(state=PrinterState.FINISHED, remote_name=name, progress=1.0)
    status = ours[0].status if ours else ""
    end = _ENDS.get(status)
    if end is None or (status == LOST and not klipper_is_back):
        return None
    return PrinterObservation(state=end, remote_name=name, reason=f"Moonraker's history says '{status}'")


def temperatures(status: Status) -> Temperatures:
    nozzle, bed = status.extruder, status.heater_bed
    return Temperatures(nozzle_c=nozzle.temperature, nozzle_target_c=nozzle.target, bed_c=bed.temperature, bed_target_c=bed.target)


def _fraction(number: float) -> float:
    return min(1.0, max(0.0, number))
