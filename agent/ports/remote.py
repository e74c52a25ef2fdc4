"""What a person can do who is not at the page: through the page's own door, with its checks and its words in the history."""

from typing import Protocol

from agent.ports.ledger import Bed


class Acts(Protocol):
    """Each act names what it was shown, so that words that come late do nothing else. None of them agrees to a sentence.

    Refused, or Stale with who was first: nothing was done.
    """

    def answer(self, question_id: int, choice: str) -> None:
        """One of the choices of that very question."""
        ...

    def clear_bed(self, printer: str, mark: str) -> None:
        """The bed of that mark is clear. Stale where something has happened to it since."""
        ...

    def bed_mark(self, bed: Bed | None) -> str:
        """Of a bed as it was seen: another one whenever something happens to it."""
        ...

    async def control(self, printer: str, act: str, job_name: str) -> None:
        """`pause`, `resume` or `cancel` that job of ours. Refused where it is not being printed for us any more."""
        ...

    async def tell(self, text: str) -> None:
        """Pass a message on to everybody who is called."""
        ...


class Switches(Protocol):
    """What a person set, durably. Their word wins over the agent's."""

    async def set_online(self, online: bool) -> None:
        """Let offers come, or not, at every marketplace that can be told. The first that could not be told is raised at the end."""
        ...

    def set_auto_accept(self, auto: bool) -> None:
        """False: a person is asked about every offer until it is True again, also after a restart."""
        ...

    @property
    def auto_accept(self) -> bool | None:
        """None: the configuration does not let the agent answer by itself, so there is nothing to switch."""
        ...
