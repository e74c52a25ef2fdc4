"""Two Bambu clients that nobody here wrote, bambulabs-api and bambu-printer-manager, print on the sandbox printer.

They know the printer's ports by heart, so each run has a loopback address of its own with the real ones.
"""

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.sandbox.bambu.screen import pack
from tests.rigs.bambu_server import BambuServer, running_bambu

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venvs" / "bambu-clients" / "bin" / "python"
COLORS = ["000000FF", "FF0000FF", "00FF00FF", "FFFFFFFF"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("bambu clients"),
    pytest.mark.skipif(os.geteuid() != 0, reason="ports below 1024 need root"),
]


def printed(server: BambuServer, client: str, folder: Path) -> dict[str, Any]:
    """What the client told of one print."""
    gcode, file = folder / "cube.gcode", folder / "cube.gcode.3mf"
    gcode.write_text("; total layer number: 12\n" + "G4 P50\n" * 40)
    pack(gcode, file)
    command = [PYTHON, ROOT / "tests" / "rigs" / "bambu_clients.py", client]
    command += [server.host, server.serial, server.access_code, file, folder / "scratch"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    told: dict[str, Any] = json.loads(run.stdout.split("told: ")[1])
    return told


@pytest.mark.parametrize("client", ["bambulabs-api", "bambu-printer-manager"])
def test_a_print_from_upload_to_its_end(client: str, tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts" / "bambu-clients-venv.sh"], check=True, stdout=subprocess.DEVNULL)  # at once when it is there
    host = f"127.77.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    ports = {"mqtt_port": 8883, "ftps_port": 990, "camera_port": 6000}
    with running_bambu(tmp_path / "printer", host=host, stale_s=0.5, prepare_s=0.5, heartbeat_s=2, **ports) as server:
        told = printed(server, client, tmp_path)
        assert told["states"] == ["IDLE", "PREPARE", "RUNNING", "FINISH"]
        if client == "bambulabs-api":
            assert told["uploaded"].startswith("226")
            assert (told["trays"], told["percent"], told["picture"]) == (COLORS, 100, [640, 360])
        else:
            assert (told["listed"], told["model"], told["firmware"]) == (True, "P1S", "01.08.02.00")
        assert [entry["event"] for entry in server.journal()] == ["upload", "start", "finish"]
        assert server.starts() == ["cube"]
