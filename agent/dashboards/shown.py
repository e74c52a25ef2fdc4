"""What stands on the dashboard, and for how long: a command that names nothing means what was shown when it was given."""

import time
from collections.abc import Callable
from typing import Any

from agent.domain.errors import Refused


class Shown:
    """The last value of each thing that the broker has taken, and since when it is that one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._values: dict[str, tuple[Any, float]] = {}

    def note(self, what: str, value: Any) -> None:
        if what not in self._values or self._values[what][0] != value:
            self._values[what] = (value, self._monotonic())

    def for_long(self, what: str, seconds: float) -> Any:
        """The value, where it has been the same for so long. Refused where it has only just become that: the finger was perhaps meant
        for what stood there before."""
        value, since = self._values.get(what, (None, self._monotonic()))
        if self._monotonic() - since < seconds:
            raise Refused("What is shown has only just changed.", hint="Look again, and then say it again.", code="just_changed")
        return value
