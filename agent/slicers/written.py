"""A plate's 3MF in its work folder, for the programs that take one."""

import asyncio
import json

from agent.slicers.apart import in_own_process, is_small
from agent.slicers.engine import Plate
from agent.slicers.threemf_plate import write_3mf


async def write_plate(plate: Plate, *, each_an_object: bool = False) -> None:
    """Writes `plate.3mf`; what is large is written by a process of its own. `each_an_object` as in write_3mf."""
    folder = plate.folder
    if is_small(sum(mesh.stat().st_size for mesh in plate.meshes.values())):
        await asyncio.to_thread(write_3mf, folder / "plate.3mf", plate.placed, plate.meshes, each_an_object=each_an_object)
        return
    meshes = {sha256: str(stl) for sha256, stl in plate.meshes.items()}
    wanted = {"placed": [vars(copy) for copy in plate.placed], "meshes": meshes, "each_an_object": each_an_object}
    (folder / "wanted.json").write_text(json.dumps(wanted))
    await in_own_process("agent.slicers.threemf_plate", folder, plate.limits, "wanted.json", "plate.3mf")
