"""What the controller's pins are wired to: heaters, their sensors, switches. It outlives resets, as a machine does."""

import math
from dataclasses import dataclass, field

AMBIENT_C = 25.0
FULL_SCALE_C = 400.0
# A heater's sensor is wired to the pin this much higher.
SENSOR_OFFSET = 10


@dataclass(frozen=True)
class Thermal:
    """dT/dt = heating x duty - cooling x (T - ambient): °C/s at full power, and the share lost in a second."""

    heating: float
    cooling: float


NOZZLE = Thermal(60.0, 0.05)


class Heater:
    """A heated thing; `broken`: its wire is off."""

    def __init__(self, thermal: Thermal, now: float) -> None:
        self._thermal = thermal
        self._at = now
        self._celsius = AMBIENT_C
        self.duty = 0.0
        self.broken = False

    def temperature(self, now: float) -> float:
        """°C at `now` (monotonic seconds), by the equation's exact solution since it was last asked."""
        power = 0.0 if self.broken else self.duty
        goal = AMBIENT_C + power * self._thermal.heating / self._thermal.cooling
        self._celsius = goal + (self._celsius - goal) * math.exp(-self._thermal.cooling * (now - self._at))
        self._at = now
        return self._celsius

    def drive(self, duty: float, now: float) -> None:
        self.temperature(now)
        self.duty = duty

    def cool(self, now: float) -> None:
        """At once, as after a night."""
        self._celsius, self._at = AMBIENT_C, now

    def break_wire(self, broken: bool, now: float) -> None:
        self.temperature(now)
        self.broken = broken


@dataclass
class Machine:
    """By pin number. Every pin can be a heater; a switch is high until it is told otherwise."""

    thermals: dict[int, Thermal] = field(default_factory=dict)  # the others are as a nozzle is
    heaters: dict[int, Heater] = field(default_factory=dict)
    forced: dict[int, float] = field(default_factory=dict)  # sensor pin -> °C it says whatever is the case
    low: set[int] = field(default_factory=set)  # switches

    def heater(self, pin: int, now: float) -> Heater:
        return self.heaters.setdefault(pin, Heater(self.thermals.get(pin, NOZZLE), now))

    def sensor(self, pin: int, now: float) -> float:
        """A share of the full scale, 0…1."""
        celsius = self.forced.get(pin)
        if celsius is None:
            celsius = self.heater(pin - SENSOR_OFFSET, now).temperature(now)
        return min(1.0, max(0.0, celsius / FULL_SCALE_C))

    def switch(self, pin: int) -> int:
        return 0 if pin in self.low else 1
