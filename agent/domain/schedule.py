"""Which plate is printed on which printer, and when. Times are aware; lengths of time are in seconds, filament in grams."""

from datetime import datetime

from agent.domain.values import Color, Value


class PlateNeed(Value):
    """What one plate takes."""

    print_seconds: int
    filament_g: float
    number: int | None = None
    """The order's own number of the plate, once it has been sliced for good."""


class Alternative(Value):
    """One way to make a batch: with G-code for this profile and slicer, on any of these printers. `estimated`: from volume, not sliced."""

    profile: str
    slicer: str
    printers: list[str]
    plates: list[PlateNeed]
    estimated: bool = False


class Batch(Value):
    """The parts of one order that share all their settings. One of its alternatives is printed, whole.

    `number` counts an order's batches. `finish_by`: the last plate must be off its printer then; None: no promise was made.
    """

    order_id: str
    number: int
    material: str
    color: Color
    alternatives: list[Alternative]
    finish_by: datetime | None = None


class Assignment(Value):
    """One plate's place in the plan. The printer is taken from `starts_at`, where a change of material comes first, until a person has
    cleared the bed at `cleared_at`."""

    printer: str
    order_id: str
    batch: int
    plate: int
    """The order's number of it, or where it has none yet, its place among the plates of the batch's alternative, from 1."""
    profile: str
    material: str
    color: Color
    starts_at: datetime
    ends_at: datetime
    cleared_at: datetime
    changes_material: bool = False
    estimated: bool = False


class BrokenPromise(Value):
    """A batch that the plan cannot have ready in time, and why, for people. `late_by_s` None: not at all."""

    order_id: str
    batch: int
    late_by_s: int | None
    why: str


class Plan(Value):
    """What is printed where and when, as things stand at `made_at`; made anew whenever they change."""

    made_at: datetime
    assignments: list[Assignment] = []
    broken: list[BrokenPromise] = []


class Forecast(Value):
    """What an offer would do to the plan. `ok`: it is ready in time, and every promise that was made is still kept.

    `ready_at`: when its last plate is off the printer. `printers`: where it would be printed. `reasons`: what speaks against it.
    """

    ok: bool
    ready_at: datetime | None = None
    printers: list[str] = []
    reasons: list[str] = []
