"""Every error the agent raises on purpose, by what happens next.

AgentError
├── ConfigError      do not start; a person mends the configuration
├── Transient        try again by itself, with a growing pause
│   └── Unsound      the same, for a while; where it stays so, ask a person
├── Refused          the other side, or a check of ours, said no; trying again changes nothing
└── NeedsOperator    hands or a decision are needed; wait for a person

An adapter translates its library's errors into these in one place. `hint` is the way out, in words for a person.
"""


class AgentError(Exception):
    """Base of all errors raised on purpose."""

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code

    def told(self) -> str:
        """The message with its way out, for a person."""
        return f"{self} — {self.hint}" if self.hint else str(self)


class ConfigError(AgentError):
    """The configuration cannot be used. The daemon does not start (exit 78)."""


class Transient(AgentError):
    """It did not work this time: a time-out, a 5xx, a printer that is away."""

    def __init__(self, message: str, *, hint: str = "", code: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s


class Unsound(Transient):
    """Whoever answers there does not answer as it should: nonsense, an error of its own, or silence over a connection that stands.

    Waiting helps where it was only overloaded, or starting; nothing that is merely out of reach is unsound.
    """


class Refused(AgentError):
    """It was answered no, for good: a 4xx, a mesh that is no solid, a slicer that cannot."""


class NeedsOperator(AgentError):
    """Only a person can go on: a disk that is full, a key that is wrong, a bed nobody looked at."""
