"""What a person does at the printer: prints from its card, without the agent."""

import hashlib
import shutil
import zipfile
from pathlib import Path

from agent.domain.errors import Refused
from agent.sandbox.bambu.machine import Machine
from agent.sandbox.bambu.requests import Requests

PLATE = "Metadata/plate_1.gcode"
_ENDING = ".gcode.3mf"
# A print from the screen has no ids of a client.
NO_IDS = {"subtask_id": "0", "task_id": "0", "project_id": "0", "profile_id": "0"}


def pack(gcode: Path, target: Path) -> None:
    """A .gcode.3mf with this plate, as a slicer exports it; the least that the printer looks at."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive, gcode.open("rb") as source:
        digest = hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        archive.writestr("[Content_Types].xml", '<?xml version="1.0"?><Types/>')
        archive.writestr("3D/3dmodel.model", '<?xml version="1.0"?><model/>')
        archive.writestr("Metadata/model_settings.config", "<config/>")
        archive.writestr("Metadata/slice_info.config", "<config/>")
        archive.writestr(f"{PLATE}.md5", digest)
        archive.write(gcode, PLATE)


def file_name(name: str) -> str:
    """What the file is called on the card: `job`, `job.gcode` and `job.gcode.3mf` are all job.gcode.3mf."""
    return name.removesuffix(".3mf").removesuffix(".gcode") + _ENDING


def print_file(machine: Machine, requests: Requests, card: Path, file: Path, name: str) -> None:
    """Put on the card and started under that name. Refused: the printer is busy."""
    if machine.busy:
        raise Refused("The printer is busy.", code="busy")
    target = card / file_name(name)
    if zipfile.is_zipfile(file):
        shutil.copyfile(file, target)
    else:
        pack(file, target)
    machine.start(requests.job_of(name, f"ftp:///{target.name}", PLATE, ""), dict(NO_IDS))
