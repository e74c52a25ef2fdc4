"""A first look at a file nobody trusts."""

from typing import Protocol

from agent.domain.mesh import MeshReport, Pose


class MeshInspector(Protocol):
    """Judges customers' files in a child process with hard limits; survives whatever is in them."""

    def warm(self) -> None:
        """Get ready in the background: work is coming. Cheap, repeatable, never waits."""
        ...

    async def inspect(self, sha256: str, name: str, alone: bool = False) -> MeshReport:
        """The verdict on a file of the store. For print and repaired, the canonical STL is put into the store as well.

        `name`: what whoever sent the file calls it, anything at all. Its ending tells which format was meant.

        `alone`: some of it is to be printed without supports, so a better side is looked for where it stands badly.

        Never raises for what the file holds; NeedsOperator where the disk is full.
        """
        ...

    async def turned(self, mesh_sha256: str, pose: Pose) -> Pose | None:
        """A canonical STL of the store on another side: that pose with the canonical STL that lies so, put into the store as well.

        None where it cannot be written; NeedsOperator where the disk is full.
        """
        ...

    async def pictures(self, mesh_sha256: str) -> dict[str, str]:
        """Pictures of a canonical STL of the store: by view ("isometric", "top") the sha256 of a PNG, put into the store as well.

        Never raises: empty where it cannot be drawn.
        """
        ...
