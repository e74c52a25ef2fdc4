"""A first look at a file nobody trusts."""

from typing import Protocol

from agent.domain.mesh import MeshReport


class MeshInspector(Protocol):
    """Judges customers' files in a child process with hard limits; survives whatever is in them."""

    def warm(self) -> None:
        """Get ready in the background: work is coming. Cheap, repeatable, never waits."""
        ...

    async def inspect(self, sha256: str) -> MeshReport:
        """The verdict on a file of the store. For print and repaired, the canonical STL is put into the store as well.

        Never raises for what the file holds; NeedsOperator where the disk is full.
        """
        ...
