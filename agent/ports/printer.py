"""A printer, as small as printing once allows. Optional abilities are protocols of their own."""

from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from agent.domain.printer import MaterialSlot, PrinterFacts, PrinterObservation, Temperatures


class Printer(Protocol):
    """One machine. The constructor does nothing; entering opens, leaving closes.

    Every method may raise Transient (away, slow, 5xx), Refused (it said no) or NeedsOperator (a wrong key).
    None blocks for longer than the adapter's own time limits.
    """

    @property
    def facts(self) -> PrinterFacts: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def observe(self) -> PrinterObservation:
        """How the printer stands now. A printer that cannot be reached is an OFFLINE observation, never an error."""
        ...

    async def upload(self, gcode: Path, remote_name: str) -> None:
        """Put the file on the printer under exactly that name, and start nothing. Repeatable: the same name is replaced."""
        ...

    async def start(self, remote_name: str) -> None:
        """Ask once for an uploaded file to be printed. Returning is no proof that it began: observe().

        Refused: the printer said no and nothing was started. Transient: it is not known whether it was.
        """
        ...

    async def never_started(self, remote_name: str) -> bool:
        """True only where the printer itself proves that this upload was never started. False: unknown, or started."""
        ...

    async def outcome(self, remote_name: str) -> PrinterObservation | None:
        """How the printer's own history says that this job ended (FINISHED, CANCELLED, FAILED); None where it has no record.

        For a job that ended while nobody looked and is no longer what observe() speaks of.
        """
        ...

    async def pause(self, remote_name: str) -> None:
        """Pause this job; Refused where another, or none, is active. So do resume and cancel."""
        ...

    async def resume(self, remote_name: str) -> None: ...

    async def cancel(self, remote_name: str) -> None: ...


NO_CAMERA = "no_camera"
"""The code of the error where this one printer has none: that is no trouble to tell of."""


@runtime_checkable
class Camera(Protocol):
    """A printer that can be looked at."""

    async def snapshot(self) -> bytes:
        """A JPEG of the bed now."""
        ...


@runtime_checkable
class Heats(Protocol):
    """A printer that tells how warm it is."""

    async def temperatures(self) -> Temperatures:
        """Now; None for what the printer does not have or does not say."""
        ...


@runtime_checkable
class EmergencyStop(Protocol):
    """A printer that can be halted at once, whatever it does and for whomever."""

    async def emergency_stop(self) -> None:
        """Heaters and motors off now. The print is lost and the printer is OFFLINE until a person restarts it."""
        ...


@runtime_checkable
class MaterialSlots(Protocol):
    """A printer that knows what filament it holds."""

    async def slots(self) -> list[MaterialSlot]:
        """Those with something in them, now."""
        ...


@runtime_checkable
class ForgetsItsJobs(Protocol):
    """A printer that shows a job it has just taken and one that has ended alike, to whoever did not see it at work."""

    def was_at_work(self, remote_name: str) -> None:
        """The ledger's word: an earlier process saw this job at work, so an end that is shown is its own."""
        ...
